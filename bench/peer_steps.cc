#include "bench/peer_steps.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Threads that wait for work spin first: ONNX Runtime's for 60 ms after a run, in which they would
// take a core from the other side.
constexpr absl::Duration kRest = absl::Milliseconds(150);

}  // namespace

absl::StatusOr<nlohmann::json> ReadJson(PeerProcess* process) {
  ASSIGN_OR_RETURN(const std::string line, process->ReadLine(kPeerStart));
  nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::UnavailableError(absl::StrCat("the peer says: ", line));
  return json;
}

absl::StatusOr<nlohmann::json> AnswerOf(const std::vector<std::string>& command) {
  ASSIGN_OR_RETURN(const auto process, PeerProcess::Start(command));
  return ReadJson(process.get());
}

absl::StatusOr<double> PeerSeconds(PeerProcess* process, int steps) {
  absl::SleepFor(kRest);
  RETURN_IF_ERROR(process->WriteLine(absl::StrCat("step ", steps)));
  ASSIGN_OR_RETURN(const nlohmann::json answer, ReadJson(process));
  absl::SleepFor(kRest);
  return answer.value("seconds", 0.0);
}

}  // namespace topiary
