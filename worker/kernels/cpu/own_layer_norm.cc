// LayerNorm in both directions, in parallel over rows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 8192;  // Elements for which a second thread starts to pay.

struct ForwardKernel {
  CpuContext context;
  LayerNormParameters p;
  int64_t rows;
  int64_t n;

  void operator()(const KernelMemory& memory) const {
    ParallelFor(context.threads, rows, kGrain / n + 1, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) Row(memory, row);
    });
  }

  void Row(const KernelMemory& memory, int64_t index) const {
    const SimdKernels& simd = *context.simd;
    const LayerNormForwardOrder at(p);
    const auto count = static_cast<double>(n);
    LayerNormRow row{n, memory.At(at.src) + index * n, 0, 0, memory.At(at.scale)};
    row.mean = static_cast<float>(simd.sum(n, row.src) / count);
    const double variance = simd.sum_of_squared_distances(n, row.src, row.mean) / count;
    row.inverse_std = static_cast<float>(1 / std::sqrt(variance + p.epsilon));
    memory.At(at.saved_mean)[index] = row.mean;
    memory.At(at.saved_inverse_std)[index] = row.inverse_std;
    simd.layer_norm_apply(row, p.has_bias ? memory.At(at.bias) : nullptr,
                          memory.At(at.dst) + index * n);
  }
};

// Scratch: a vector for d_scale and one for d_bias of each thread, added up in their order.
struct BackwardKernel {
  CpuContext context;
  LayerNormParameters p;
  int64_t rows;
  int64_t n;

  int64_t grain() const { return kGrain / n + 1; }
  static size_t ScratchBytes(int threads, int64_t n) {
    return static_cast<size_t>(threads) * 2 * static_cast<size_t>(n) * sizeof(float);
  }

  void operator()(const KernelMemory& memory) const {
    ParallelFor(context.threads, rows, grain(), 1, [&](int64_t begin, int64_t end, int thread) {
      float* sums = memory.Scratch() + int64_t{thread} * 2 * n;
      std::fill_n(sums, 2 * n, 0.0f);
      for (int64_t row = begin; row < end; ++row) Row(memory, row, sums);
    });
    const LayerNormBackwardOrder at(p);
    AddUp(memory, 0, memory.At(at.d_scale));
    if (p.has_bias) AddUp(memory, n, memory.At(at.d_bias));
  }

  void Row(const KernelMemory& memory, int64_t index, float* sums) const {
    const SimdKernels& simd = *context.simd;
    const LayerNormBackwardOrder at(p);
    const LayerNormRow row{n, memory.At(at.src) + index * n, memory.At(at.saved_mean)[index],
                           memory.At(at.saved_inverse_std)[index], memory.At(at.scale)};
    const float* d_dst = memory.At(at.d_dst) + index * n;
    const LayerNormSums total =
        simd.layer_norm_backward_sums(row, d_dst, sums, p.has_bias ? sums + n : nullptr);
    const auto count = static_cast<double>(n);
    simd.layer_norm_backward_apply(row, d_dst, static_cast<float>(total.gradient / count),
                                   static_cast<float>(total.product / count),
                                   memory.At(at.d_src) + index * n);
  }

  void AddUp(const KernelMemory& memory, int64_t offset, float* dst) const {
    const int team = TeamSize(context.threads, rows, grain());
    std::copy_n(memory.Scratch() + offset, n, dst);
    for (int thread = 1; thread < team; ++thread) {
      const float* part = memory.Scratch() + int64_t{thread} * 2 * n + offset;
      context.simd->binary({BinaryFunction::kAdd, false}, n, dst, 1, part, 1, dst);
    }
  }
};

}  // namespace

KernelOr PlanLayerNormForward(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const Shape shape = operands[0].shape;
  return MakeOwnKernel(
      std::move(operands), 0,
      ForwardKernel{context, std::get<LayerNormParameters>(op.parameters), shape[0], shape[1]});
}

KernelOr PlanLayerNormBackward(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettlePlain(&operands); !status.ok()) return status;
  const Shape shape = operands[0].shape;
  return MakeOwnKernel(
      std::move(operands), BackwardKernel::ScratchBytes(context.threads, shape[1]),
      BackwardKernel{context, std::get<LayerNormParameters>(op.parameters), shape[0], shape[1]});
}

}  // namespace topiary
