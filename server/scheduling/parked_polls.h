#ifndef TOPIARY_SERVER_SCHEDULING_PARKED_POLLS_H_
#define TOPIARY_SERVER_SCHEDULING_PARKED_POLLS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "server/scheduling/worker.h"

namespace topiary {

// A worker's call from its arrival to its answer.
struct PollCall {
  int64_t sequence = 0;  // order of arrival
  WorkerReport report;
  std::function<bool()> is_cancelled;
  std::function<void(absl::StatusOr<WorkerOrders>)> done;
  absl::Time deadline;  // held no longer
  absl::Time wake_at;   // to be looked at again, even if nothing happened
};

// Calls of idle workers that wait for work, at most one for each worker. Thread-safe. It calls
// nothing but is_cancelled, which must not block.
//
// A call is looked at and then parked; what happens in between must not be missed. So each event
// that may mean work moves a counter on, and Park refuses a call that was looked at before the
// last.
class ParkedPolls {
 public:
  using Call = std::shared_ptr<PollCall>;

  // To be read before the call is looked at.
  uint64_t generation() const;

  enum class Parking {
    kParked,
    kLookAgain,   // there was an event since `generation`
    kSuperseded,  // a newer call of the same worker is parked
  };

  // Parks `call`, if it may be. An older call of the same worker that it takes the place of is put
  // into `displaced`.
  Parking Park(const Call& call, uint64_t generation, Call* displaced);

  // There may be work: takes out all calls, to be looked at again.
  std::vector<Call> TakeAll();

  // Takes out the worker's call; null if there is none.
  Call Take(const std::string& worker);

  // Takes out the calls with a deadline or wake_at that is not later than `now`, or cancelled.
  std::vector<Call> TakeDue(absl::Time now);

 private:
  mutable Mutex mutex_;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Call> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_PARKED_POLLS_H_
