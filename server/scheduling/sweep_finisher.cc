#include "server/scheduling/sweep_finisher.h"

#include <utility>

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
  ASSIGN_OR_RETURN(const std::vector<JobName> ended, store_->ListEndedSweeps(kSweepsPerCall));
  absl::Status first;
  for (const JobName& name : ended) first.Update(Finish(name));
  return first;
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
