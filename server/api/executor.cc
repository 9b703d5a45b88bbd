#include "server/api/executor.h"

#include <pthread.h>

#include <utility>

#include "common/check.h"

namespace topiary {

Executor::Executor(const std::string& name, int threads, int max_waiting)
    : max_waiting_(max_waiting) {
  CHECK(threads >= 1) << "an executor needs a thread";
  MutexLock lock(&join_mu_);
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Loop(); });
    pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
  }
}

bool Executor::Post(std::function<void()> closure) {
  MutexLock lock(&mu_);
  if (stopping_ || counted_ >= max_waiting_) return false;
  queue_.push_back({std::move(closure), true});
  ++counted_;
  changed_.Signal();
  return true;
}

void Executor::PostNextStep(std::function<void()> closure) {
  MutexLock lock(&mu_);
  CHECK(!stopping_) << "a step was posted to an executor that was stopped";
  queue_.push_back({std::move(closure), false});
  changed_.Signal();
}

void Executor::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  MutexLock lock(&join_mu_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

int Executor::waiting() const {
  MutexLock lock(&mu_);
  return static_cast<int>(queue_.size());
}

bool Executor::idle() const {
  MutexLock lock(&mu_);
  return queue_.empty() && running_ == 0;
}

void Executor::Loop() {
  while (true) {
    std::function<void()> closure;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !stopping_) changed_.Wait(&mu_);
      if (queue_.empty()) return;
      closure = std::move(queue_.front().closure);
      if (queue_.front().counts) --counted_;
      queue_.pop_front();
      ++running_;
    }
    closure();
    closure = nullptr;  // what it holds goes before it counts as done
    MutexLock lock(&mu_);
    --running_;
  }
}

}  // namespace topiary
