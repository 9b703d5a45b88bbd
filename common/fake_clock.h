#ifndef TOPIARY_COMMON_FAKE_CLOCK_H_
#define TOPIARY_COMMON_FAKE_CLOCK_H_

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace topiary {

// A clock that stands still until the test moves it. For tests only.
// Thread-safe.
class FakeClock final : public Clock {
 public:
  // Starts at 2026-01-01 00:00 UTC unless told otherwise.
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1767225600)) : now_(start) {}

  absl::Time Now() override {
    MutexLock lock(&mutex_);
    return now_;
  }
  void Set(absl::Time now) {
    MutexLock lock(&mutex_);
    now_ = now;
  }
  void Advance(absl::Duration step) {
    MutexLock lock(&mutex_);
    now_ += step;
  }

 private:
  Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_FAKE_CLOCK_H_
