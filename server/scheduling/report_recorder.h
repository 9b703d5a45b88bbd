#ifndef TOPIARY_SERVER_SCHEDULING_REPORT_RECORDER_H_
#define TOPIARY_SERVER_SCHEDULING_REPORT_RECORDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/scheduler_observer.h"
#include "server/scheduling/worker.h"

namespace topiary {

// Writes what a worker reports about its attempts into the store, and says what to tell it.
// Thread-safe; blocks on the store.
class ReportRecorder {
 public:
  // Each report renews its lease for `lease_duration`. Pointers must outlive the recorder.
  ReportRecorder(absl::Duration lease_duration, JobStore* store, SchedulerObserver* observer)
      : lease_duration_(lease_duration), store_(store), observer_(observer) {}

  // One order for each attempt of the report, in order. An error of the store ends it; all of the
  // report may then be recorded again.
  absl::StatusOr<std::vector<AttemptOrder>> Record(const WorkerReport& report, absl::Time now);

 private:
  absl::StatusOr<std::vector<UpdateResult>> Renew(const WorkerReport& report, absl::Time now);
  absl::Status RecordCheckpoint(const AttemptReport& report, absl::Time now);
  absl::Status RecordOutcome(const std::string& worker, const AttemptReport& report,
                             absl::Time now);

  const absl::Duration lease_duration_;
  JobStore* const store_;
  SchedulerObserver* const observer_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_REPORT_RECORDER_H_
