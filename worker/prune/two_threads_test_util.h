// A backend of two threads for tests of what must not depend on their number.
#ifndef TOPIARY_WORKER_PRUNE_TWO_THREADS_TEST_UTIL_H_
#define TOPIARY_WORKER_PRUNE_TWO_THREADS_TEST_UTIL_H_

#include <functional>
#include <thread>

#include "worker/kernels/reference/reference_backend.h"

namespace topiary {

class TwoThreadsBackend : public ReferenceBackend {
 public:
  BackendInfo info() const override {
    BackendInfo info = ReferenceBackend::info();
    info.threads = 2;
    return info;
  }
  void OnEachThread(const std::function<void(int)>& body) override {
    std::thread other([&body] { body(1); });
    body(0);
    other.join();
  }
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_TWO_THREADS_TEST_UTIL_H_
