// What TransactionalMetadataStore does about sweeps alone.

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/job_transition.h"
#include "server/jobs/status_reason.h"
#include "server/jobs/transaction_steps.h"
#include "server/jobs/transactional_metadata_store.h"

namespace topiary {

absl::StatusOr<Job> TransactionalMetadataStore::InsertSweep(const Job& sweep,
                                                            const std::vector<Job>& children,
                                                            int max_live, absl::Time now) {
  Job stored;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(std::optional<Job> same, FindSameRequest(tables, sweep));
    if (same.has_value()) {
      stored = *std::move(same);
      return absl::OkStatus();
    }
    const int count = static_cast<int>(children.size());
    RETURN_IF_ERROR(CheckRoom(tables, sweep.project, count + 1, max_live));
    stored = sweep;
    stored.parent.clear();
    stored.children = count;
    RETURN_IF_ERROR(AddJob(tables, &stored, now, changes));
    for (Job child : children) {
      child.parent = sweep.id;
      child.children = 0;
      RETURN_IF_ERROR(AddJob(tables, &child, now, changes));
    }
    stored.child_counts.queued = count;
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<std::vector<Job>> TransactionalMetadataStore::ListChildren(const JobName& sweep) {
  std::vector<Job> children;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    RETURN_IF_ERROR(LoadJob(tables, sweep).status());
    ASSIGN_OR_RETURN(children, tables.ListChildren(sweep));
    return absl::OkStatus();
  }));
  return children;
}

absl::StatusOr<std::vector<JobName>> TransactionalMetadataStore::ListEndedSweeps(int limit) {
  std::vector<JobName> names;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(names, tables.ListEndedSweeps(limit));
    return absl::OkStatus();
  }));
  return names;
}

absl::StatusOr<Job> TransactionalMetadataStore::FinishSweep(
    const JobName& sweep, const std::string& result, const std::vector<ArtifactReference>& outputs,
    absl::Time now) {
  Job job;
  RETURN_IF_ERROR(WriteAndTell([&](MetadataTables& tables, std::vector<JobChange>* changes) {
    ASSIGN_OR_RETURN(job, LoadJob(tables, sweep));
    if (IsTerminal(job.state)) return absl::OkStatus();
    if (!job.is_sweep() || !job.child_counts.all_ended()) {
      return WithReason(absl::FailedPreconditionError(absl::StrCat(
                            ToString(sweep), " is no sweep whose children have all ended")),
                        kReasonJobNotFinished);
    }
    RETURN_IF_ERROR(CheckArtifacts(tables, job.project, outputs));
    job.result = result;
    job.outputs = outputs;
    RETURN_IF_ERROR(tables.PutResult(job));
    return Save(tables, &job, EndSweep(&job, Failure(), now), changes);
  }));
  return job;
}

}  // namespace topiary
