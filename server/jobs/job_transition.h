#ifndef TOPIARY_SERVER_JOBS_JOB_TRANSITION_H_
#define TOPIARY_SERVER_JOBS_JOB_TRANSITION_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job.h"

// Every legal change of a job, as pure functions on the structs: no clock, no store, no lock. A
// store loads the job, calls one of these, and saves what it changed; so all stores agree.
//
//   QUEUED -> RUNNING -> SUCCEEDED | FAILED | CANCELLED
//   RUNNING -> QUEUED      failed with attempts left, lease lost, handed back
//   QUEUED -> CANCELLED    by request
//   QUEUED -> FAILED       past its deadline
//
// A sweep is RUNNING from when its first child runs, whatever becomes of that, and ends when all
// children have ended:
//   CANCELLED   the sweep was cancelled and that ended a child, or all children were cancelled
//   SUCCEEDED   else, if any child succeeded
//   FAILED      else
//
// Each function sets the job's times and last_sequence and returns the event to store with it.
namespace topiary {

// Whether a job may go from one state to the other.
bool CanMove(JobState from, JobState to);

// Wait before the next attempt when `attempts_spent` (>= 1) have failed or were lost:
// initial * 2^(attempts_spent - 1), at most the maximum.
absl::Duration Backoff(const RetryPolicy& policy, int attempts_spent);

// OK if `attempt` is the running attempt of `job`; else ABORTED, reason STALE_ATTEMPT.
absl::Status CheckCurrent(const Job& job, const AttemptName& attempt);

// Makes a client's request a QUEUED job: everything that a client does not choose is reset.
JobEvent Submit(Job* job, absl::Time now);

struct Started {
  Attempt attempt;
  JobEvent event;
};

// QUEUED -> RUNNING. ABORTED if the job is not QUEUED or still in back-off.
absl::StatusOr<Started> Start(Job* job, const std::string& worker, const std::string& token,
                              absl::Time expires_at, bool bit_exact, absl::Time now);

// Cancels a QUEUED job, marks a RUNNING one or a sweep, whose children are then to be cancelled. No
// event if there is nothing (new) to do, as with a sweep that only waits for its report.
std::optional<JobEvent> Cancel(Job* job, absl::Time now);

// Fails a QUEUED job that is past its deadline, marks a RUNNING one. No event if there is nothing
// (new) to do.
std::optional<JobEvent> PassDeadline(Job* job, absl::Time now);

// Ends the running attempt as its worker says. `attempt` is the record of the running attempt.
JobEvent Finish(Job* job, Attempt* attempt, const AttemptOutcome& outcome, absl::Time now);

// Ends the running attempt whose lease expired.
JobEvent LoseLease(Job* job, Attempt* attempt, absl::Time now);

// What a change of `child`, whose state is the new one, does to its sweep, whose child_counts are
// those after the change. Where all have ended and some have succeeded, EndSweep is left to
// do, once there is a report on them.
std::vector<JobEvent> FollowChild(Job* sweep, const Job& child, absl::Time now);

// That children of a sweep have ended.
JobEvent CountChildren(Job* sweep, absl::Time now);

// Ends a sweep, all of whose children have ended. `failure` is of one that failed, if it is known.
JobEvent EndSweep(Job* sweep, const Failure& failure, absl::Time now);

// The state in which an attempt with this outcome ends.
AttemptState EndState(AttemptOutcome::Kind kind);

// Least time between two progress events of a job, and how many of them it may have before every
// second one is dropped.
inline constexpr absl::Duration kProgressEventInterval = absl::Seconds(1);
inline constexpr int kMaxProgressEvents = 1000;

// Notes the latest progress. An event only if the last one is old enough.
std::optional<JobEvent> Progress(Job* job, const std::string& progress, absl::Time now);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_JOB_TRANSITION_H_
