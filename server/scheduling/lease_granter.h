#ifndef TOPIARY_SERVER_SCHEDULING_LEASE_GRANTER_H_
#define TOPIARY_SERVER_SCHEDULING_LEASE_GRANTER_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/scheduler_observer.h"
#include "server/scheduling/worker.h"

namespace topiary {

struct Grants {
  std::vector<LeaseGrant> leases;
  size_t spec_bytes = 0;                     // of the jobs in `leases`
  absl::Time next = absl::InfiniteFuture();  // see Choice::next
};

// Gives leases to workers with free slots. Thread-safe; blocks on the store. Calls for one worker
// must follow one another, or it could be given more than it has slots for.
class LeaseGranter {
 public:
  // `new_token` makes unguessable tokens. Pointers must outlive the granter.
  LeaseGranter(absl::Duration lease_duration, absl::Duration same_key_wait, JobStore* store,
               std::function<std::string()> new_token, SchedulerObserver* observer);

  // Leases for the report's free slots. First, as an answer may have been lost, those that the
  // store says this worker holds and that it did not report: they are given again, or ended if the
  // job is to stop. Then, if `new_work`, new ones. Fewer, but at least one, if their specs would
  // make the answer too large to be sent: the worker gets the others with its next report.
  absl::StatusOr<Grants> Grant(const WorkerReport& report, bool new_work, absl::Time now);

  // Takes back, without spending a retry, what the store says this draining worker holds and that
  // it did not report: it never got to know of it.
  absl::Status TakeBackUnknown(const WorkerReport& report, absl::Time now);

 private:
  absl::StatusOr<std::vector<Job>> ListUnknown(const WorkerReport& report);
  absl::Status End(const Job& job, AttemptOutcome::Kind kind, absl::Time now);
  absl::Status GrantAgain(const WorkerReport& report, absl::Time now, Grants* grants);
  absl::Status GrantNew(const WorkerReport& report, absl::Time now, Grants* grants);
  absl::StatusOr<bool> AcquirePicks(const WorkerReport& report, size_t room, absl::Time now,
                                    Grants* grants);

  const absl::Duration lease_duration_;
  const absl::Duration same_key_wait_;
  JobStore* const store_;
  const std::function<std::string()> new_token_;
  SchedulerObserver* const observer_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_LEASE_GRANTER_H_
