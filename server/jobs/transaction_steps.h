#ifndef TOPIARY_SERVER_JOBS_TRANSACTION_STEPS_H_
#define TOPIARY_SERVER_JOBS_TRANSACTION_STEPS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"
#include "server/jobs/metadata_tables.h"

// What several transactions of TransactionalMetadataStore have in common. Each is a part of one
// transaction; an error is that of the whole. What they change they add to `changes`.
namespace topiary {

// NOT_FOUND, reason JOB_NOT_FOUND.
absl::StatusOr<Job> LoadJob(MetadataTables& tables, const JobName& name);

// FAILED_PRECONDITION, reason ARTIFACT_MISSING, unless the project has all of `references`.
absl::Status CheckArtifacts(MetadataTables& tables, const std::string& project,
                            const std::vector<ArtifactReference>& references);

// FAILED_PRECONDITION, reason JOB_NOT_FINISHED, unless the job has ended.
absl::Status CheckEnded(const Job& job);

// Forgets all but the newest `keep` checkpoints of `job`, and the artifacts that only they needed.
absl::Status TrimCheckpoints(MetadataTables& tables, Job* job, size_t keep);

// The job that was made of the same request as `job`, if there is one. ALREADY_EXISTS, reason
// REQUEST_ID_REUSED, if its content was another.
absl::StatusOr<std::optional<Job>> FindSameRequest(MetadataTables& tables, const Job& job);

// RESOURCE_EXHAUSTED, reason TOO_MANY_JOBS, unless `more` live jobs leave the project within
// `max_live`.
absl::Status CheckRoom(MetadataTables& tables, const std::string& project, int more, int max_live);

// Inserts `job` as new.
absl::Status AddJob(MetadataTables& tables, Job* job, absl::Time now,
                    std::vector<JobChange>* changes);

// Saves a job after a transition, and what that does to its sweep, if it is a child. A job that has
// ended lets go of its checkpoints.
absl::Status Save(MetadataTables& tables, Job* job, const JobEvent& event,
                  std::vector<JobChange>* changes);

// Cancels the children of a sweep that was just marked so, and brings `sweep` up to date.
absl::Status CancelChildren(MetadataTables& tables, Job* sweep, absl::Time now,
                            std::vector<JobChange>* changes);

// Removes one job that has ended.
absl::Status RemoveJob(MetadataTables& tables, Job* job, std::vector<JobChange>* changes);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_TRANSACTION_STEPS_H_
