// A child process that is asked by lines on its standard input and answers by lines.
#ifndef TOPIARY_BENCH_PEER_PROCESS_H_
#define TOPIARY_BENCH_PEER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace topiary {

// Its standard error is ours. Not thread-safe.
class PeerProcess {
 public:
  // `arguments`: the program, found along PATH, then its arguments.
  static absl::StatusOr<std::unique_ptr<PeerProcess>> Start(
      const std::vector<std::string>& arguments);
  // Closes the child's standard input, on which it ends; kills it if it has not after a second.
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  // The next line, without its end. DEADLINE_EXCEEDED after `timeout`; UNAVAILABLE when the child
  // has ended.
  absl::StatusOr<std::string> ReadLine(absl::Duration timeout);

  // Sends `line` and a line end. UNAVAILABLE when the child has ended.
  absl::Status WriteLine(absl::string_view line);

 private:
  PeerProcess(pid_t pid, int input, int output) : pid_(pid), input_(input), output_(output) {}

  pid_t pid_;
  int input_;
  int output_;
  std::string buffer_;  // What came after the last line.
};

// Runs a command to its end. UNAVAILABLE, naming the command, where it fails.
absl::Status RunCommand(const std::vector<std::string>& arguments);

}  // namespace topiary

#endif  // TOPIARY_BENCH_PEER_PROCESS_H_
