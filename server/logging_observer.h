#ifndef TOPIARY_SERVER_LOGGING_OBSERVER_H_
#define TOPIARY_SERVER_LOGGING_OBSERVER_H_

#include <string>

#include "server/scheduling/scheduler_observer.h"

namespace topiary {

// Writes what happens to leases and attempts to the log, with job, attempt and worker, and passes
// it on. Thread-safe.
class LoggingObserver : public SchedulerObserver {
 public:
  // `next` must outlive this.
  explicit LoggingObserver(SchedulerObserver* next) : next_(next) {}

  void OnLeaseGranted(const Lease& lease, absl::Duration queue_wait) override;
  void OnLeaseRenewed(const AttemptName& attempt) override { next_->OnLeaseRenewed(attempt); }
  void OnLeaseRefused(const AttemptName& attempt, const std::string& worker) override;
  void OnLeaseLost(const JobName& job, int attempt, const std::string& worker) override;
  void OnAttemptFinished(const Job& job, const AttemptName& attempt, const std::string& worker,
                         AttemptOutcome::Kind kind) override;

 private:
  SchedulerObserver* const next_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_LOGGING_OBSERVER_H_
