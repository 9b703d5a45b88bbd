#ifndef TOPIARY_SERVER_SCHEDULING_WORKER_REGISTRY_H_
#define TOPIARY_SERVER_SCHEDULING_WORKER_REGISTRY_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "server/scheduling/worker.h"

namespace topiary {

// The workers heard of lately. It is a view for administrators, and remembers who is to drain;
// nothing is lost when a coordinator that restarts begins with an empty one. Thread-safe.
class WorkerRegistry {
 public:
  // A worker silent for `silent_after` is SILENT, for `forget_after` forgotten; of more than
  // `max_workers` the one silent longest is forgotten.
  WorkerRegistry(absl::Duration silent_after, absl::Duration forget_after, size_t max_workers)
      : silent_after_(silent_after), forget_after_(forget_after), max_workers_(max_workers) {}

  // Notes what a worker reported at `now`. Returns whether it was asked to drain.
  bool Report(const WorkerReport& report, absl::Time now);

  // Notes whether a call of the worker is being held: then it is not silent, however long.
  void SetWaiting(const std::string& worker, bool waiting, absl::Time now);

  // Workers with an id greater than `after`, by id, at most `limit`.
  std::vector<WorkerInfo> List(const std::string& after, int limit, absl::Time now);

  // Asks the worker to drain. NOT_FOUND, reason WORKER_NOT_FOUND.
  absl::StatusOr<WorkerInfo> Drain(const std::string& worker, absl::Time now);

 private:
  struct Entry {
    WorkerInfo info;
    int free_slots = 0;
    bool draining = false;
    bool waiting = false;
  };

  void Forget(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  WorkerInfo InfoOf(const Entry& entry, absl::Time now) const;

  const absl::Duration silent_after_;
  const absl::Duration forget_after_;
  const size_t max_workers_;
  Mutex mutex_;
  std::map<std::string, Entry> workers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_WORKER_REGISTRY_H_
