#ifndef TOPIARY_SERVER_JOBS_JOB_STORE_H_
#define TOPIARY_SERVER_JOBS_JOB_STORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/jobs/job.h"

namespace topiary {

// What List selects: newest first, ties by job id.
struct JobQuery {
  std::string project;
  std::vector<JobState> states;               // any of them; empty: all
  std::map<std::string, std::string> labels;  // all of them
  std::string parent;                         // id of a sweep: only its children; "": see below
  bool include_children = false;              // of sweeps, which are left out otherwise
  int page_size = 100;                        // 1 to 1000
  std::string page_token;                     // "" or a JobPage's, with the same query otherwise
};

struct JobPage {
  std::vector<Job> jobs;
  std::string next_page_token;  // "" on the last page
};

// What a worker says about an attempt it is running.
struct AttemptUpdate {
  AttemptName attempt;
  absl::Time expires_at = absl::UnixEpoch();  // new end of the lease; never moved backwards
  std::optional<std::string> progress;        // opaque
  std::optional<DeterminismKey> determinism_key;
};

// What the store says to it.
struct UpdateResult {
  // OK; or ABORTED, reason STALE_ATTEMPT, or NOT_FOUND: the attempt is of no interest any more.
  absl::Status status;
  StopReason stop = StopReason::kNone;
  absl::Time expires_at = absl::UnixEpoch();
};

// A queued job as the scheduler sees it.
struct QueuedJob {
  JobName name;
  int priority = 0;
  absl::Time create_time = absl::UnixEpoch();
  absl::Time queue_time = absl::UnixEpoch();
  Placement placement;
  std::optional<DeterminismKey> determinism_key;
  bool bit_exact = true;  // false: there is no use in waiting for a worker that matches the key
};

// What the scheduler decides on.
struct SchedulingSnapshot {
  // Jobs that may be leased now: of each project and each kind of demand (placement and
  // determinism key) the best `per_class` by priority, then age.
  std::vector<QueuedJob> queued;
  std::map<std::string, int> running_by_project;  // projects with none are absent
  // The earliest end of a back-off still to come; InfiniteFuture when there is none.
  absl::Time next_eligible = absl::InfiniteFuture();
};

// A job that ReclaimExpired or ExpireDeadlines moved.
struct MovedJob {
  JobName name;
  JobState state = JobState::kQueued;  // after the move
  int attempt = 0;                     // that was lost; 0: none
  std::string worker;                  // that held it
};

// Told after each commit: the job's newest event has this sequence.
struct JobChange {
  JobName name;
  JobState state = JobState::kQueued;
  bool deleted = false;
  // From the first attempt's start to the job's end, told with the change that ends it. None with
  // any other change, a deletion too, and of a job that no worker ever held.
  std::optional<absl::Duration> run_time = std::nullopt;
};

// Durable record of every job and of who holds it: the only owner of job state.
//
// Thread-safe; methods block. Each method is one transaction: it happens whole or not at all, also
// across a crash, and what was acknowledged is never lost. Time is an argument and comes from
// Now(), so that all coordinators on one database agree about it.
//
// Errors common to all methods: NOT_FOUND (reason JOB_NOT_FOUND) when there is no such job;
// UNAVAILABLE (reason STORE_UNAVAILABLE) when the database cannot be reached or is busy (safe to
// repeat); RESOURCE_EXHAUSTED
// (reason STORE_FULL) when the disk is full; DATA_LOSS when the database is damaged. Every write
// by a worker names its attempt, and fails with ABORTED, reason STALE_ATTEMPT, when that is not the
// job's current one. All of them may be repeated at will.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // The store's clock.
  virtual absl::Time Now() = 0;

  // Adds `job` in state QUEUED, reads of it only what a client may choose (names, request, spec,
  // labels, priority, placement, retry, deadline, keep_checkpoints, inputs), and returns it.
  // A job with the same request_id (not empty) is returned as it is now if its request_digest is
  // the same; ALREADY_EXISTS, reason REQUEST_ID_REUSED, if it is another. ALREADY_EXISTS, reason
  // JOB_EXISTS, if the id is taken. FAILED_PRECONDITION, reason ARTIFACT_MISSING, if an input is
  // not stored in the project. RESOURCE_EXHAUSTED, reason TOO_MANY_JOBS, if the project has
  // `max_live` jobs that have not ended.
  virtual absl::StatusOr<Job> Insert(const Job& job, int max_live, absl::Time now) = 0;

  // Adds a sweep and its children, all or none: `sweep` as Insert does, with `children`, at least
  // one, which are of its project and have no request_id. Errors are Insert's; the sweep and each
  // child count against `max_live`.
  virtual absl::StatusOr<Job> InsertSweep(const Job& sweep, const std::vector<Job>& children,
                                          int max_live, absl::Time now) = 0;

  virtual absl::StatusOr<Job> Get(const JobName& name) = 0;

  // All children of a sweep, by id; none of another job.
  virtual absl::StatusOr<std::vector<Job>> ListChildren(const JobName& sweep) = 0;

  // Sweeps that have not ended though all of their children have, some with success: they wait for
  // FinishSweep. At most `limit`.
  virtual absl::StatusOr<std::vector<JobName>> ListEndedSweeps(int limit) = 0;

  // Ends such a sweep with what compares its children: the opaque `result`, and `outputs`, which
  // are stored in the project. One that has ended is returned as it is. FAILED_PRECONDITION, reason
  // JOB_NOT_FINISHED, while a child has not ended; reason ARTIFACT_MISSING if an output is not
  // stored.
  virtual absl::StatusOr<Job> FinishSweep(const JobName& sweep, const std::string& result,
                                          const std::vector<ArtifactReference>& outputs,
                                          absl::Time now) = 0;

  // All attempts, oldest first.
  virtual absl::StatusOr<std::vector<Attempt>> ListAttempts(const JobName& name) = 0;

  // INVALID_ARGUMENT for a page size out of range or a token that is not this query's.
  virtual absl::StatusOr<JobPage> List(const JobQuery& query) = 0;

  // Number of jobs in each state, over all projects; states with none are absent.
  virtual absl::StatusOr<std::map<JobState, int64_t>> CountByState() = 0;

  // A QUEUED job is CANCELLED at once; a RUNNING one is marked, and its worker sees the mark in its
  // next update. A job that has ended is returned as it is: cancelling twice is no error. Of a
  // sweep, this is done to each child.
  virtual absl::StatusOr<Job> RequestCancel(const JobName& name, absl::Time now) = 0;

  // Removes a job that has ended, with its attempts, events and checkpoints; its outputs stay.
  // FAILED_PRECONDITION, reason JOB_NOT_FINISHED, if it has not ended. Removes a sweep with its
  // children; a child alone only when its sweep has ended, else the same error.
  virtual absl::Status Delete(const JobName& name) = 0;

  // Gives the QUEUED job to `worker` until `expires_at` as a new attempt with `token`.
  // ABORTED if it is not QUEUED any more or in back-off. Two callers never get the same attempt.
  // `bit_exact` false: the worker cannot match the job's determinism key.
  virtual absl::StatusOr<Job> Acquire(const JobName& name, const std::string& worker,
                                      const std::string& token, absl::Time expires_at,
                                      bool bit_exact, absl::Time now) = 0;

  // Jobs whose lease `worker` holds, lapsed leases that were not reclaimed included.
  virtual absl::StatusOr<std::vector<Job>> ListHeld(const std::string& worker) = 0;

  // Renews leases and records progress of many attempts in one transaction; one result for each
  // update, in order. Progress is thinned: it becomes an event at most once a second, and when a
  // job has 1,000 of these, every second one is dropped. The job's latest progress is always kept.
  // The job's first determinism key is kept; another one makes the job not bit_exact.
  virtual absl::StatusOr<std::vector<UpdateResult>> RecordProgress(
      absl::Span<const AttemptUpdate> updates, absl::Time now) = 0;

  // Records a checkpoint that is already stored as an artifact of the project, and lets go of all
  // but the newest two, in one transaction. The newest again: OK, nothing changes.
  // FAILED_PRECONDITION, reason ARTIFACT_MISSING, if the artifact is not stored.
  virtual absl::Status RecordCheckpoint(const AttemptName& attempt, const Checkpoint& checkpoint,
                                        absl::Time now) = 0;

  // Ends the attempt and returns the job after it: succeeded, cancelled, queued again (failed with
  // retries left, after a back-off; handed back, at once) or failed for good. A job marked for
  // cancelling that did not succeed becomes CANCELLED (past its deadline: FAILED).
  // The same kind of outcome of the same attempt again: the job as it is now, nothing changes.
  // FAILED_PRECONDITION, reason ARTIFACT_MISSING, if an output is not stored in the project.
  virtual absl::StatusOr<Job> FinishAttempt(const AttemptName& attempt,
                                            const AttemptOutcome& outcome, absl::Time now) = 0;

  // Ends, as LOST, the attempts whose lease expired before `now`: their jobs are queued again after
  // a back-off or, with no retry left, failed. At most `limit` of them.
  virtual absl::StatusOr<std::vector<MovedJob>> ReclaimExpired(absl::Time now, int limit) = 0;

  // Fails QUEUED jobs whose deadline has passed, and marks RUNNING ones to be stopped; at most
  // `limit` of them.
  virtual absl::StatusOr<std::vector<MovedJob>> ExpireDeadlines(absl::Time now, int limit) = 0;

  // Events of a job with a sequence greater than `after`, oldest first, at most `limit`.
  virtual absl::StatusOr<std::vector<JobEvent>> ListEvents(const JobName& name, int64_t after,
                                                           int limit) = 0;

  virtual absl::StatusOr<SchedulingSnapshot> Snapshot(absl::Time now, int per_class) = 0;

  // `listener` is called after each commit that changed a job's state or added an event, by the
  // thread that made the change, with no lock held; it must not block. Call once, before any other
  // method.
  virtual void SetListener(std::function<void(const JobChange&)> listener) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_JOB_STORE_H_
