#ifndef TOPIARY_SERVER_JOBS_JOB_TABLES_H_
#define TOPIARY_SERVER_JOBS_JOB_TABLES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/job.h"
#include "server/jobs/job_store.h"
#include "server/jobs/page_token.h"

namespace topiary {

// The rows about jobs, as one transaction sees them: what a database must be able to do, without
// any rule of what is legal (job_transition.h and transactional_metadata_store.cc have those).
//
// Good for one transaction, by one thread. Errors: those common to all methods of JobStore.
class JobTables {
 public:
  virtual ~JobTables() = default;

  // Of a sweep, also the counts of its children: in each method that returns jobs.
  virtual absl::StatusOr<std::optional<Job>> FindJob(const JobName& name) = 0;
  virtual absl::StatusOr<std::optional<Job>> FindRequest(const std::string& project,
                                                         const std::string& request_id) = 0;
  // Jobs of the project that have not ended.
  virtual absl::StatusOr<int64_t> CountLive(const std::string& project) = 0;
  virtual absl::Status InsertJob(const Job& job) = 0;
  // Saves what a transition may change: all but names, request, spec, labels, demands and inputs.
  // Result and checkpoints have methods of their own.
  virtual absl::Status UpdateJob(const Job& job) = 0;
  // Saves `result` and `outputs`.
  virtual absl::Status PutResult(const Job& job) = 0;
  virtual absl::Status PutCheckpoints(const Job& job) = 0;
  // With everything that belongs to it.
  virtual absl::Status DeleteJob(const JobName& name) = 0;

  virtual absl::Status PutAttempt(const JobName& name, const Attempt& attempt) = 0;
  virtual absl::StatusOr<std::vector<Attempt>> ListAttempts(const JobName& name) = 0;

  virtual absl::Status AppendEvent(const JobName& name, const JobEvent& event) = 0;
  virtual absl::StatusOr<std::vector<JobEvent>> ListEvents(const JobName& name, int64_t after,
                                                           int limit) = 0;
  // Drops the first, third, fifth ... progress event of the job; returns how many are left.
  virtual absl::StatusOr<int> ThinProgress(const JobName& name) = 0;

  // Newest first, after `cursor`, at most `limit`; all of `query` but page size and token.
  virtual absl::StatusOr<std::vector<Job>> ListJobs(const JobQuery& query, const PageCursor& cursor,
                                                    int limit) = 0;
  virtual absl::StatusOr<std::map<JobState, int64_t>> CountByState() = 0;
  virtual absl::StatusOr<std::vector<Job>> ListHeld(const std::string& worker) = 0;
  // By id.
  virtual absl::StatusOr<std::vector<Job>> ListChildren(const JobName& sweep) = 0;
  // Sweeps that have not ended, while all of their children have.
  virtual absl::StatusOr<std::vector<JobName>> ListEndedSweeps(int limit) = 0;
  // RUNNING, with a lease that ended before `now`.
  virtual absl::StatusOr<std::vector<JobName>> ListExpired(absl::Time now, int limit) = 0;
  // QUEUED or RUNNING and not marked to stop, with a deadline not later than `now`; no sweeps.
  virtual absl::StatusOr<std::vector<JobName>> ListOverdue(absl::Time now, int limit) = 0;
  virtual absl::StatusOr<SchedulingSnapshot> Snapshot(absl::Time now, int per_class) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_JOB_TABLES_H_
