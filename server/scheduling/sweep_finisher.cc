#include "server/scheduling/sweep_finisher.h"

#include <exception>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// In one call; the others are there at the next one.
constexpr int kSweepsPerCall = 100;

}  // namespace

SweepFinisher::SweepFinisher(JobStore* store, ArtifactRepository* artifacts, MakeReport make_report)
    : store_(store), artifacts_(artifacts), make_report_(std::move(make_report)) {}

absl::Status SweepFinisher::FinishEnded() {
  // So many more, since these may come first.
  const int limit = kSweepsPerCall + static_cast<int>(retries_.size());
  ASSIGN_OR_RETURN(const std::vector<JobName> ended, store_->ListEndedSweeps(limit));
  const absl::Time now = store_->Now();
  absl::Status first;
  std::map<JobName, absl::Time> retries;
  for (const JobName& name : ended) {
    const auto waiting = retries_.find(name);
    if (waiting != retries_.end() && now < waiting->second) {
      retries.insert(*waiting);
      continue;
    }
    const absl::Status status = TryToFinish(name);
    if (!status.ok()) retries[name] = now + kRetryInterval;
    first.Update(status);
  }
  retries_ = std::move(retries);  // What is not waiting any more is forgotten.
  return first;
}

// One sweep that does not fit into memory must not end the coordinator, which would meet it again
// whenever it starts.
absl::Status SweepFinisher::TryToFinish(const JobName& name) {
  absl::Status status;
  try {
    status = Finish(name);
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("the report of sweep ", ToString(name), ": ", status.message()));
}

absl::Status SweepFinisher::Finish(const JobName& name) {
  ASSIGN_OR_RETURN(const Job sweep, store_->Get(name));
  ASSIGN_OR_RETURN(const std::vector<Job> children, store_->ListChildren(name));
  const SweepReport report = make_report_(sweep, children);
  RETURN_IF_ERROR(
      artifacts_
          ->Store(name.project, report.digest, report.json, ArtifactKind::kResult, "report.json")
          .status());
  ASSIGN_OR_RETURN(
      const Job ended,
      store_->FinishSweep(name, report.result, {{report.digest, "report"}}, store_->Now()));
  LogInfo("sweep ended", {{"job", ToString(name)}, {"state", JobStateName(ended.state)}});
  return absl::OkStatus();
}

}  // namespace topiary
