#ifndef TOPIARY_BENCH_PLANNED_KERNEL_H_
#define TOPIARY_BENCH_PLANNED_KERNEL_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"

namespace topiary {

// One operation of a backend, ready to run on operands of its own.
//
// Not thread-safe. The backend must outlive it.
class PlannedKernel {
 public:
  static absl::StatusOr<PlannedKernel> Create(Backend* backend, const OpDescription& op);

  void Run() { kernel_->Run(); }
  // Operand `i` with its layout settled.
  const TensorDescription& description(size_t i) const { return kernel_->operands()[i]; }
  // Operand `i`, of float32: ones until the caller writes others.
  float* operand(size_t i) { return static_cast<float*>(buffers_[i].data()); }

 private:
  PlannedKernel() = default;

  std::unique_ptr<Kernel> kernel_;
  std::vector<Buffer> buffers_;
  Buffer scratch_;
};

}  // namespace topiary

#endif  // TOPIARY_BENCH_PLANNED_KERNEL_H_
