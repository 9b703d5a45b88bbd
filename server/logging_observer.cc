#include "server/logging_observer.h"

#include "common/logging.h"

namespace topiary {

void LoggingObserver::OnLeaseGranted(const Lease& lease, absl::Duration queue_wait) {
  LogInfo("attempt leased", {{"job", ToString(lease.attempt.job_name())},
                             {"attempt", lease.attempt.attempt},
                             {"worker", lease.worker},
                             {"queue_wait_seconds", absl::ToDoubleSeconds(queue_wait)}});
  next_->OnLeaseGranted(lease, queue_wait);
}

void LoggingObserver::OnLeaseRefused(const AttemptName& attempt, const std::string& worker) {
  LogWarning(
      "report of a stale attempt refused",
      {{"job", ToString(attempt.job_name())}, {"attempt", attempt.attempt}, {"worker", worker}});
  next_->OnLeaseRefused(attempt, worker);
}

void LoggingObserver::OnLeaseLost(const JobName& job, int attempt, const std::string& worker) {
  LogWarning("lease lost", {{"job", ToString(job)}, {"attempt", attempt}, {"worker", worker}});
  next_->OnLeaseLost(job, attempt, worker);
}

void LoggingObserver::OnAttemptFinished(const Job& job, const AttemptName& attempt,
                                        const std::string& worker, AttemptOutcome::Kind kind) {
  LogInfo("attempt finished", {{"job", ToString(job.name())},
                               {"attempt", attempt.attempt},
                               {"worker", worker},
                               {"state", JobStateName(job.state)},
                               {"reason", JobReasonName(job.reason)},
                               {"error", job.failure.message}});
  next_->OnAttemptFinished(job, attempt, worker, kind);
}

}  // namespace topiary
