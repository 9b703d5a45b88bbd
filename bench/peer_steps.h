// Peers that answer in JSON, and time steps when they are asked to.
#ifndef TOPIARY_BENCH_PEER_STEPS_H_
#define TOPIARY_BENCH_PEER_STEPS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bench/peer_process.h"

namespace topiary {

// What every benchmark beside peers needs.
struct PeerOptions {
  std::string python = "python3";  // With the packages of bench/peers/requirements.txt.
  std::string peer_script = "bench/peers/torch_peer.py";
  std::string work_dir = "out/bench";  // Models and batches; must exist.
  int threads = 2;
  int pairs = 9;
  double seconds_per_side = 0.3;  // Of each of a pair.
};

// PyTorch loads 5 GB of libraries, and compiles.
inline constexpr absl::Duration kPeerStart = absl::Minutes(5);

// The next line of `process`, an object. UNAVAILABLE, quoting it, where it is none.
absl::StatusOr<nlohmann::json> ReadJson(PeerProcess* process);

// What a process that is started for one answer says.
absl::StatusOr<nlohmann::json> AnswerOf(const std::vector<std::string>& command);

// Has the peer do `steps` steps; the mean seconds of one. Waits before and after until the threads
// of the side that ran are asleep.
absl::StatusOr<double> PeerSeconds(PeerProcess* process, int steps);

}  // namespace topiary

#endif  // TOPIARY_BENCH_PEER_STEPS_H_
