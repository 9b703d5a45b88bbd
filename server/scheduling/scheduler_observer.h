#ifndef TOPIARY_SERVER_SCHEDULING_SCHEDULER_OBSERVER_H_
#define TOPIARY_SERVER_SCHEDULING_SCHEDULER_OBSERVER_H_

#include <string>

#include "absl/time/time.h"
#include "server/jobs/job.h"

namespace topiary {

// What the scheduler tells metrics and logs. Called with no lock held, from any thread; must not
// block. The defaults do nothing.
class SchedulerObserver {
 public:
  virtual ~SchedulerObserver() = default;

  // A lease was given; `queue_wait` since the job was last queued.
  virtual void OnLeaseGranted(const Lease& /*lease*/, absl::Duration /*queue_wait*/) {}
  virtual void OnLeaseRenewed(const AttemptName& /*attempt*/) {}
  // A worker named an attempt that is not the job's current one.
  virtual void OnLeaseRefused(const AttemptName& /*attempt*/, const std::string& /*worker*/) {}
  // A lease expired and was reclaimed.
  virtual void OnLeaseLost(const JobName& /*job*/, int /*attempt*/, const std::string& /*worker*/) {
  }
  // An outcome was recorded; `job` is as it is after it, `worker` had the attempt. Also for a
  // repeated one.
  virtual void OnAttemptFinished(const Job& /*job*/, const AttemptName& /*attempt*/,
                                 const std::string& /*worker*/, AttemptOutcome::Kind /*kind*/) {}
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_SCHEDULER_OBSERVER_H_
