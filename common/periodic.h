#ifndef TOPIARY_COMMON_PERIODIC_H_
#define TOPIARY_COMMON_PERIODIC_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace topiary {

// Runs a closure again and again on one thread of its own, with `interval` between the end of one
// run and the start of the next; the first run comes at once. Thread-safe.
class Periodic {
 public:
  // `name` is what tools such as top show for the thread (its first 15 characters).
  Periodic(const std::string& name, absl::Duration interval, std::function<void()> closure);
  ~Periodic() { Stop(); }
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

  // Lets a run in progress end and joins the thread: after it the closure does not run any more.
  // May be called again. Not from within the closure.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for the interval to pass; false when it is time to stop.
  bool WaitForNextRun() ABSL_LOCKS_EXCLUDED(mutex_);

  const absl::Duration interval_;
  const std::function<void()> closure_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Mutex join_mutex_;  // Lets one caller of Stop join; the others wait for it.
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_PERIODIC_H_
