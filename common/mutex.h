#ifndef TOPIARY_COMMON_MUTEX_H_
#define TOPIARY_COMMON_MUTEX_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

// Defined by the build of `tools/check tsan`.
#ifdef TOPIARY_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

// absl::Mutex and absl::CondVar with what ThreadSanitizer must be told: the system's Abseil is not
// instrumented, so that without these calls every guarded field would look like a race. Fields are
// annotated with ABSL_GUARDED_BY(mutex_); `tools/check clang` enforces it.

namespace topiary {

// A lock for one thread at a time. Not recursive. Thread-safe, as is everything in this header.
class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    BeforeLock();
    mutex_.Lock();
    AfterLock();
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    BeforeUnlock();
    mutex_.Unlock();
    AfterUnlock();
  }
  // Ends the process if the calling thread does not hold the lock (as far as Abseil can tell).
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() { mutex_.AssertHeld(); }

 private:
  friend class CondVar;

#ifdef TOPIARY_THREAD_SANITIZER
  void BeforeLock() { __tsan_mutex_pre_lock(&mutex_, 0); }
  void AfterLock() { __tsan_mutex_post_lock(&mutex_, 0, 0); }
  void BeforeUnlock() { __tsan_mutex_pre_unlock(&mutex_, 0); }
  void AfterUnlock() { __tsan_mutex_post_unlock(&mutex_, 0); }
#else
  void BeforeLock() {}
  void AfterLock() {}
  void BeforeUnlock() {}
  void AfterUnlock() {}
#endif

  absl::Mutex mutex_;
};

// Holds `mutex` from its construction to its destruction. `mutex` must outlive it.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// Waiting for a condition that `mutex` guards. Wake-ups may be spurious: wait in a loop.
//   MutexLock lock(&mutex_);
//   while (queue_.empty()) changed_.Wait(&mutex_);
class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // Releases `mutex`, sleeps until signalled, takes `mutex` again.
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    WaitUntil(mutex, absl::InfiniteFuture());
  }
  // As Wait, but sleeps no longer than `timeout`; true if that ran out first.
  bool WaitWithTimeout(Mutex* mutex, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Released released(mutex);
    return condition_.WaitWithTimeout(&mutex->mutex_, timeout);
  }
  // As Wait, but sleeps no longer than until `deadline` (wall clock); true if that came first.
  bool WaitUntil(Mutex* mutex, absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Released released(mutex);
    return condition_.WaitWithDeadline(&mutex->mutex_, deadline);
  }
  // Wakes at least one waiting thread, if there is one.
  void Signal() { condition_.Signal(); }
  void SignalAll() { condition_.SignalAll(); }

 private:
  // Tells ThreadSanitizer that the lock is given up while its holder sleeps.
  class Released {
   public:
    explicit Released(Mutex* mutex) : mutex_(mutex) {
      mutex_->BeforeUnlock();
      mutex_->AfterUnlock();
    }
    ~Released() {
      mutex_->BeforeLock();
      mutex_->AfterLock();
    }

   private:
    Mutex* const mutex_;
  };

  absl::CondVar condition_;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_MUTEX_H_
