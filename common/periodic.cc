#include "common/periodic.h"

#include <pthread.h>

#include <utility>

#include "absl/time/clock.h"

namespace topiary {

Periodic::Periodic(const std::string& name, absl::Duration interval, std::function<void()> closure)
    : interval_(interval), closure_(std::move(closure)) {
  MutexLock lock(&join_mutex_);
  thread_ = std::thread([this, name = name.substr(0, 15)] {
    pthread_setname_np(pthread_self(), name.c_str());
    Loop();
  });
}

void Periodic::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  MutexLock lock(&join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Periodic::Loop() {
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
  }
  do {
    closure_();
  } while (WaitForNextRun());
}

bool Periodic::WaitForNextRun() {
  const absl::Time deadline = absl::Now() + interval_;
  MutexLock lock(&mutex_);
  while (!stopping_) {
    if (changed_.WaitUntil(&mutex_, deadline)) break;
  }
  return !stopping_;
}

}  // namespace topiary
