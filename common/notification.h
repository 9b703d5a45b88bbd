#ifndef TOPIARY_COMMON_NOTIFICATION_H_
#define TOPIARY_COMMON_NOTIFICATION_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace topiary {

// Something that happens once and that threads can wait for. Thread-safe.
// (As absl::Notification, in terms that ThreadSanitizer understands: see mutex.h.)
class Notification {
 public:
  // What happened before Notify is seen by whoever HasBeenNotified or has waited. May be repeated.
  void Notify() {
    MutexLock lock(&mutex_);
    notified_ = true;
    changed_.SignalAll();
  }
  bool HasBeenNotified() const {
    MutexLock lock(&mutex_);
    return notified_;
  }
  void WaitForNotification() const {
    MutexLock lock(&mutex_);
    while (!notified_) changed_.Wait(&mutex_);
  }
  // True if notified within `timeout`.
  bool WaitForNotificationWithTimeout(absl::Duration timeout) const {
    const absl::Time deadline = absl::Now() + timeout;
    MutexLock lock(&mutex_);
    while (!notified_) {
      if (changed_.WaitUntil(&mutex_, deadline)) break;
    }
    return notified_;
  }

 private:
  mutable Mutex mutex_;
  mutable CondVar changed_;
  bool notified_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_NOTIFICATION_H_
