#ifndef TOPIARY_SERVER_SCHEDULING_JOB_EVENTS_H_
#define TOPIARY_SERVER_SCHEDULING_JOB_EVENTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "server/jobs/job_store.h"

namespace topiary {

class JobEvents;

struct JobEventBatch {
  std::vector<JobEvent> events;  // empty: none for now
  bool ended = false;            // after these there will be no more: the job has ended
};

// One watcher's way through a job's events. Thread-compatible, save that `on_ready` is called by
// whatever thread made a change.
//
// The events come from the store, always; what is fanned out live is only the word that there are
// more of them, one bit per watcher. So a watcher costs the same whether it is fast or slow, and a
// slow one can neither hold up a job nor lose an event.
class JobWatch {
 public:
  ~JobWatch();
  JobWatch(const JobWatch&) = delete;
  JobWatch& operator=(const JobWatch&) = delete;

  // The next events, at most `limit`. Blocks on the store. If there are none and the job has not
  // ended, `on_ready` is called once, as soon as there may be some: call Read again then.
  // NOT_FOUND once the job is deleted.
  absl::StatusOr<JobEventBatch> Read(int limit);

 private:
  friend class JobEvents;
  struct Slot;
  JobWatch(JobEvents* hub, JobStore* store, JobName name, int64_t after,
           std::function<void()> on_ready);

  JobEvents* const hub_;
  JobStore* const store_;
  const JobName name_;
  int64_t after_;
  bool ended_ = false;
  const std::shared_ptr<Slot> slot_;
};

// Tells watchers of a job that something happened to it. Thread-safe.
class JobEvents {
 public:
  explicit JobEvents(JobStore* store) : store_(store) {}

  // Watches `name` from the event after sequence `after` on. `on_ready` must not block, nor call or
  // destroy the watch, but post that to an executor; it is not called any more once the watch is
  // destroyed. The hub must outlive its watches.
  std::unique_ptr<JobWatch> Watch(const JobName& name, int64_t after,
                                  std::function<void()> on_ready);

  // Called by the store after each commit (JobStore::SetListener). Does not block.
  void OnJobChange(const JobChange& change);

  // Number of watches, for metrics.
  int size() const;

 private:
  friend class JobWatch;
  void Remove(const JobName& name, const std::shared_ptr<JobWatch::Slot>& slot);

  JobStore* const store_;
  mutable Mutex mutex_;
  std::map<JobName, std::set<std::shared_ptr<JobWatch::Slot>>> slots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_JOB_EVENTS_H_
