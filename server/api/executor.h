#ifndef TOPIARY_SERVER_API_EXECUTOR_H_
#define TOPIARY_SERVER_API_EXECUTOR_H_

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace topiary {

// Runs closures that may block, in the order in which they came, on a fixed number of threads.
// Thread-safe.
class Executor {
 public:
  // `name` is what tools such as top show for the threads. Post refuses when `max_waiting` closures
  // that came by it wait already.
  Executor(const std::string& name, int threads, int max_waiting);
  ~Executor() { Stop(); }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `closure` soon, never before it returns. False if too many are waiting or the executor was
  // stopped: the closure is not run.
  bool Post(std::function<void()> closure);

  // As Post, but is never refused for the number that wait, nor counted among them. For calls that
  // were admitted, which have at most one step to run at a time. The executor must not have been
  // stopped.
  void PostNextStep(std::function<void()> closure);

  // Runs what was posted, then joins the threads. May be called again.
  void Stop();

  int waiting() const;

  // Whether nothing waits and nothing runs.
  bool idle() const;

 private:
  struct Waiting {
    std::function<void()> closure;
    bool counts = false;  // against max_waiting_
  };

  void Loop();

  const int max_waiting_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mu_);
  int counted_ ABSL_GUARDED_BY(mu_) = 0;  // of those in queue_
  int running_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Mutex join_mu_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_EXECUTOR_H_
