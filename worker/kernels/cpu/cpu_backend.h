// Training and inference on the processor: oneDNN for products, convolutions and pooling, own
// vector kernels for the rest.
#ifndef TOPIARY_WORKER_KERNELS_CPU_CPU_BACKEND_H_
#define TOPIARY_WORKER_KERNELS_CPU_CPU_BACKEND_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/simd/cpu_isa.h"

namespace topiary {

struct CpuBackendOptions {
  // Threads of every kernel. 0: as many as the process may run on.
  int threads = 0;
  // The most that may be used of the processor's instruction sets, by oneDNN and by own kernels.
  // oneDNN takes such a limit only once in a process, before its first use; the environment
  // variable ONEDNN_MAX_CPU_ISA sets it too, and own kernels never use more than oneDNN does.
  absl::optional<CpuIsa> max_isa;
  // bfloat16 needs a processor that multiplies it: in oneDNN's words avx512_core_bf16 or above.
  Precision precision = Precision::kFloat32;
};

// Layouts: activations of convolutions in blocks of 16 channels (8 without AVX-512) where the
// channels divide by that, weights as oneDNN likes them or plain, all else plain. With bfloat16
// products read rounded copies, made by each run in the kernel's scratch area in whatever layout
// oneDNN likes; weights that are given as any are plain then.
//
// Each run of a kernel uses exactly the given number of OpenMP threads, started by the thread that
// calls Run(); call it from one thread, since every calling thread gets a team of its own.
// OMP_WAIT_POLICY=passive keeps teams from spinning where cores are shared.
//
// Thread-compatible: one thread at a time.
class CpuBackend : public Backend {
 public:
  // INVALID_ARGUMENT for a negative number of threads, FAILED_PRECONDITION where
  // oneDNN already runs with more than max_isa, or with an instruction set that has no bfloat16
  // where that is the precision.
  static absl::StatusOr<std::unique_ptr<CpuBackend>> Create(const CpuBackendOptions& options);
  ~CpuBackend() override;

  BackendInfo info() const override;
  CpuIsa own_isa() const;  // What own kernels run with.
  bool host_accessible() const override { return true; }
  absl::StatusOr<Buffer> Allocate(size_t bytes) override;
  // What neither oneDNN nor an own kernel can do, such as tensors without elements,
  // is done by the reference backend's loops; but not a product of another precision than theirs.
  absl::StatusOr<std::unique_ptr<Kernel>> Plan(const OpDescription& op) override;
  std::unique_ptr<Backend> SingleThreaded() const override;
  void OnEachThread(const std::function<void(int)>& body) override;

 private:
  struct State;
  explicit CpuBackend(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_CPU_BACKEND_H_
