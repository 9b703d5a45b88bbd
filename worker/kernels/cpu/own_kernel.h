// A Kernel made of one function of the operands' memory: how the own kernels of this backend are
// written.
#ifndef TOPIARY_WORKER_KERNELS_CPU_OWN_KERNEL_H_
#define TOPIARY_WORKER_KERNELS_CPU_OWN_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/cpu/simd_kernels.h"

namespace topiary {

// What own kernels need of their backend. A value type.
struct CpuContext {
  int threads = 1;
  const SimdKernels* simd = nullptr;  // Never null in use.
};

// The memory that Bind() gave.
class KernelMemory {
 public:
  template <typename T = float>
  T* At(int operand) const {
    return static_cast<T*>(buffers_[operand]);
  }
  template <typename T = float>
  T* Scratch() const {
    return static_cast<T*>(scratch_);
  }
  void Bind(absl::Span<void* const> buffers, void* scratch) {
    buffers_.assign(buffers.begin(), buffers.end());
    scratch_ = scratch;
  }

 private:
  std::vector<void*> buffers_;
  void* scratch_ = nullptr;
};

// Makes every layout that is any plain; UNIMPLEMENTED where one is neither.
inline absl::Status SettlePlain(std::vector<TensorDescription>* operands) {
  for (TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) return absl::UnimplementedError("plain operands only");
  }
  return absl::OkStatus();
}

// Run() calls body(memory).
template <typename Body>
class OwnKernel final : public Kernel {
 public:
  OwnKernel(std::vector<TensorDescription> operands, size_t scratch_bytes, Body body)
      : operands_(std::move(operands)), scratch_bytes_(scratch_bytes), body_(std::move(body)) {}

  absl::Span<const TensorDescription> operands() const override { return operands_; }
  size_t scratch_bytes() const override { return scratch_bytes_; }
  void Bind(absl::Span<void* const> buffers, void* scratch) override {
    memory_.Bind(buffers, scratch);
  }
  void Run() override { body_(memory_); }

 private:
  std::vector<TensorDescription> operands_;
  size_t scratch_bytes_;
  Body body_;
  KernelMemory memory_;
};

template <typename Body>
std::unique_ptr<Kernel> MakeOwnKernel(std::vector<TensorDescription> operands, size_t scratch_bytes,
                                      Body body) {
  return std::make_unique<OwnKernel<Body>>(std::move(operands), scratch_bytes, std::move(body));
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_OWN_KERNEL_H_
