// The obvious implementation of every operation.
#ifndef TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_BACKEND_H_
#define TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_BACKEND_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"

namespace topiary {

// Naive loops on one thread that add up in double and round once. Every layout is plain; every
// fusion is supported. Kernels allocate temporaries when they run. Thread-compatible.
class ReferenceBackend : public Backend {
 public:
  BackendInfo info() const override;
  bool host_accessible() const override { return true; }
  absl::StatusOr<Buffer> Allocate(size_t bytes) override;
  absl::StatusOr<std::unique_ptr<Kernel>> Plan(const OpDescription& op) override;
  std::unique_ptr<Backend> SingleThreaded() const override {
    return std::make_unique<ReferenceBackend>();
  }
  void OnEachThread(const std::function<void(int)>& body) override { body(0); }
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_BACKEND_H_
