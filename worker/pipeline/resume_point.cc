#include "worker/pipeline/resume_point.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/pipeline/allotment.h"
#include "worker/pipeline/feature_selection.h"
#include "worker/pipeline/task.h"

namespace topiary {
namespace {

// Steps taken by another plan than that of the rest would be neither's.
absl::Status CheckPlan(const JobRecord& record, const JobSpec& spec, const LoadedJob& job) {
  const bool needs_plan = !job.choices.empty() || !job.groups.empty();
  if (record.plan.has_value() == needs_plan &&
      (!needs_plan || record.plan->sparsities.empty() != SettlesLayers(*spec.target))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the checkpoint has no plan, or one of another job");
}

absl::Status CheckSelection(const JobRecord& record, const JobSpec& spec, const LoadedJob& job) {
  if (!record.selection.has_value()) return absl::OkStatus();
  if (job.features.has_value()) return CheckChosen(record.selection->chosen, spec, *job.features);
  return absl::InvalidArgumentError("the checkpoint is of a selection of features");
}

}  // namespace

absl::StatusOr<Checkpoint> ReadResumePoint(const std::string& path, const JobSpec& spec,
                                           const LoadedJob& job) {
  ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(path));
  if (checkpoint.method != MethodName(spec.method)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint is of method '", checkpoint.method, "', not of this job's"));
  }
  RETURN_IF_ERROR(CheckPlan(checkpoint.record, spec, job));
  RETURN_IF_ERROR(CheckSelection(checkpoint.record, spec, job));
  return checkpoint;
}

}  // namespace topiary
