#include "server/jobs/transaction_steps.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/job_transition.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// Saves a job after a transition, but not what that does to its sweep.
absl::Status SaveAlone(MetadataTables& tables, Job* job, const JobEvent& event,
                       std::vector<JobChange>* changes) {
  RETURN_IF_ERROR(tables.AppendEvent(job->name(), event));
  if (IsTerminal(job->state) && !job->checkpoints.empty()) {
    RETURN_IF_ERROR(TrimCheckpoints(tables, job, job->keep_checkpoints ? 1 : 0));
  }
  RETURN_IF_ERROR(tables.UpdateJob(*job));
  JobChange change = {job->name(), job->state};
  if (IsTerminal(job->state) && job->start_time != absl::InfiniteFuture() && !job->is_sweep()) {
    change.run_time = job->end_time - job->start_time;
  }
  changes->push_back(std::move(change));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Job> LoadJob(MetadataTables& tables, const JobName& name) {
  ASSIGN_OR_RETURN(std::optional<Job> job, tables.FindJob(name));
  if (!job.has_value()) {
    return WithReason(absl::NotFoundError(absl::StrCat("there is no job ", ToString(name))),
                      kReasonJobNotFound);
  }
  return *std::move(job);
}

absl::Status CheckArtifacts(MetadataTables& tables, const std::string& project,
                            const std::vector<ArtifactReference>& references) {
  for (const ArtifactReference& reference : references) {
    ASSIGN_OR_RETURN(const auto artifact, tables.FindArtifact(project, reference.digest));
    if (artifact.has_value()) continue;
    return WithMetadata(WithReason(absl::FailedPreconditionError(absl::StrCat(
                                       "project ", project, " has no artifact ", reference.digest,
                                       " (", reference.role, "): upload it first")),
                                   kReasonArtifactMissing),
                        "digest", reference.digest);
  }
  return absl::OkStatus();
}

absl::Status TrimCheckpoints(MetadataTables& tables, Job* job, size_t keep) {
  std::vector<Checkpoint> dropped;
  while (job->checkpoints.size() > keep) {
    dropped.push_back(job->checkpoints.back());
    job->checkpoints.pop_back();
  }
  RETURN_IF_ERROR(tables.PutCheckpoints(*job));
  for (const Checkpoint& checkpoint : dropped) {
    ASSIGN_OR_RETURN(const auto artifact, tables.FindArtifact(job->project, checkpoint.digest));
    if (!artifact.has_value() || artifact->kind != ArtifactKind::kCheckpoint) continue;
    ASSIGN_OR_RETURN(const bool needed, tables.IsReferenced(job->project, checkpoint.digest));
    if (!needed) RETURN_IF_ERROR(tables.DeleteArtifact(job->project, checkpoint.digest));
  }
  return absl::OkStatus();
}

absl::Status CheckEnded(const Job& job) {
  if (IsTerminal(job.state)) return absl::OkStatus();
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat(ToString(job.name()), " is ", JobStateName(job.state),
                                     ": cancel it, and delete it once it ended")),
                    kReasonJobNotFinished);
}

absl::StatusOr<std::optional<Job>> FindSameRequest(MetadataTables& tables, const Job& job) {
  if (job.request_id.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(std::optional<Job> same, tables.FindRequest(job.project, job.request_id));
  if (same.has_value() && same->request_digest != job.request_digest) {
    return WithReason(absl::AlreadyExistsError(absl::StrCat(
                          "request_id ", job.request_id, " was used for ", ToString(same->name()),
                          " with other content: choose a new one")),
                      kReasonRequestIdReused);
  }
  return same;
}

absl::Status CheckRoom(MetadataTables& tables, const std::string& project, int more, int max_live) {
  ASSIGN_OR_RETURN(const int64_t live, tables.CountLive(project));
  if (live + more <= max_live) return absl::OkStatus();
  const std::string which =
      more == 1 ? "which is its limit"
                : absl::StrCat("and ", more, " more are over its limit, ", max_live);
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("project ", project, " has ", live,
                                                              " unfinished jobs, ", which,
                                                              ": wait for one, or cancel one")),
                    kReasonTooManyJobs);
}

absl::Status AddJob(MetadataTables& tables, Job* job, absl::Time now,
                    std::vector<JobChange>* changes) {
  ASSIGN_OR_RETURN(const auto other, tables.FindJob(job->name()));
  if (other.has_value()) {
    return WithReason(absl::AlreadyExistsError(absl::StrCat(ToString(job->name()), " exists")),
                      kReasonJobExists);
  }
  RETURN_IF_ERROR(CheckArtifacts(tables, job->project, job->inputs));
  const JobEvent event = Submit(job, now);
  RETURN_IF_ERROR(tables.InsertJob(*job));
  return SaveAlone(tables, job, event, changes);
}

absl::Status Save(MetadataTables& tables, Job* job, const JobEvent& event,
                  std::vector<JobChange>* changes) {
  RETURN_IF_ERROR(SaveAlone(tables, job, event, changes));
  if (job->parent.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Job sweep, LoadJob(tables, job->parent_name()));
  for (const JobEvent& consequence : FollowChild(&sweep, *job, event.time)) {
    RETURN_IF_ERROR(SaveAlone(tables, &sweep, consequence, changes));
  }
  return absl::OkStatus();
}

absl::Status CancelChildren(MetadataTables& tables, Job* sweep, absl::Time now,
                            std::vector<JobChange>* changes) {
  ASSIGN_OR_RETURN(std::vector<Job> children, tables.ListChildren(sweep->name()));
  bool any_ended = false;
  for (Job& child : children) {
    const std::optional<JobEvent> event = Cancel(&child, now);
    if (!event.has_value()) continue;
    any_ended = any_ended || IsTerminal(child.state);
    // What each does to the sweep is told once for all of them.
    RETURN_IF_ERROR(SaveAlone(tables, &child, *event, changes));
  }
  ASSIGN_OR_RETURN(*sweep, LoadJob(tables, sweep->name()));
  if (any_ended) {
    RETURN_IF_ERROR(SaveAlone(tables, sweep, CountChildren(sweep, now), changes));
  }
  if (!sweep->child_counts.all_ended() || sweep->child_counts.succeeded > 0)
    return absl::OkStatus();
  return SaveAlone(tables, sweep, EndSweep(sweep, Failure(), now), changes);
}

absl::Status RemoveJob(MetadataTables& tables, Job* job, std::vector<JobChange>* changes) {
  RETURN_IF_ERROR(TrimCheckpoints(tables, job, 0));
  changes->push_back({job->name(), job->state, /*deleted=*/true});
  return tables.DeleteJob(job->name());
}

}  // namespace topiary
