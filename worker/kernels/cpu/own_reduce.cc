// Sums over axes, and over everything.
#include <algorithm>
#include <vector>

#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kLine = 16;

// src as nested axes, alternately kept and summed; neighbours of one kind are merged.
struct Axis {
  int64_t extent;
  bool summed;
};

std::vector<Axis> MergedAxes(const Shape& src, const Shape& dst) {
  std::vector<Axis> axes;
  for (int i = 0; i < src.rank(); ++i) {
    if (src[i] == 1) continue;
    const int at = i - (src.rank() - dst.rank());
    const bool summed = at < 0 || dst[at] != src[i];
    if (!axes.empty() && axes.back().summed == summed) {
      axes.back().extent *= src[i];
    } else {
      axes.push_back({src[i], summed});
    }
  }
  return axes;
}

// Any pattern: src[outermost][..]. `dst_stride` of an axis is 0 where it is summed.
struct NestedSum {
  CpuContext context;
  float scale;
  std::vector<Axis> axes;
  std::vector<int64_t> src_strides, dst_strides;
  int64_t dst_elements;

  NestedSum(const CpuContext& ctx, float factor, std::vector<Axis> merged, int64_t elements)
      : context(ctx), scale(factor), axes(std::move(merged)), dst_elements(elements) {
    src_strides.resize(axes.size());
    dst_strides.resize(axes.size());
    int64_t src_stride = 1, dst_stride = 1;
    for (int i = static_cast<int>(axes.size()) - 1; i >= 0; --i) {
      src_strides[i] = src_stride;
      src_stride *= axes[i].extent;
      dst_strides[i] = axes[i].summed ? 0 : dst_stride;
      if (!axes[i].summed) dst_stride *= axes[i].extent;
    }
  }

  void operator()(const KernelMemory& memory) const {
    const float* src = memory.At(0);
    float* dst = memory.At(1);
    std::fill(dst, dst + dst_elements, 0.0f);
    if (axes.empty()) {
      dst[0] = src[0];
    } else {
      Add(0, src, dst);
    }
    if (scale == 1) return;
    for (int64_t i = 0; i < dst_elements; ++i) dst[i] *= scale;
  }

  void Add(size_t level, const float* src, float* dst) const {
    const Axis& axis = axes[level];
    const bool innermost = level + 1 == axes.size();
    if (innermost && axis.summed) {
      *dst += static_cast<float>(context.simd->sum(axis.extent, src));
    } else if (innermost) {
      AddRows(Panel{1, axis.extent, axis.extent}, src, dst);
    } else if (level + 2 == axes.size() && axis.summed) {  // Rows that are added up.
      AddRows(Panel{axis.extent, axes[level + 1].extent, axes[level + 1].extent}, src, dst);
    } else if (level == 0 && !axis.summed) {
      ParallelFor(context.threads, axis.extent, kGrain / src_strides[0] + 1, 1,
                  [&](int64_t begin, int64_t end, int) { Loop(level, begin, end, src, dst); });
    } else {
      Loop(level, 0, axis.extent, src, dst);
    }
  }

  void Loop(size_t level, int64_t begin, int64_t end, const float* src, float* dst) const {
    for (int64_t i = begin; i < end; ++i) {
      Add(level + 1, src + i * src_strides[level], dst + i * dst_strides[level]);
    }
  }

  // Each thread takes columns, so that no two add to the same place.
  void AddRows(const Panel& panel, const float* src, float* dst) const {
    if (axes.size() > 2) return context.simd->add_columns(panel, src, dst);
    ParallelFor(context.threads, panel.width, kGrain / panel.rows + kLine, kLine,
                [&](int64_t begin, int64_t end, int) {
                  context.simd->add_columns(Panel{panel.rows, end - begin, panel.stride},
                                            src + begin, dst + begin);
                });
  }
};

}  // namespace

KernelOr PlanReduceSum(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<ReduceSumParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) {
      return absl::UnimplementedError("sums over axes of a plain tensor only");
    }
  }
  const Shape dst = operands[1].shape;
  NestedSum kernel(context, p.scale, MergedAxes(operands[0].shape, dst), dst.element_count());
  return MakeOwnKernel(std::move(operands), 0, std::move(kernel));
}

KernelOr PlanSumOfSquares(const CpuContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
  }
  const int64_t n = StoredElements(operands[0]);  // Padding adds nothing.
  const size_t bytes = static_cast<size_t>(context.threads) * sizeof(double);
  return MakeOwnKernel(std::move(operands), bytes, [context, n](const KernelMemory& memory) {
    double* partials = memory.Scratch<double>();
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int thread) {
      partials[thread] = context.simd->sum_of_squares(end - begin, memory.At(0) + begin);
    });
    double total = 0;
    const int team = TeamSize(context.threads, n, kGrain);
    for (int thread = 0; thread < team; ++thread) total += partials[thread];
    memory.At(1)[0] = static_cast<float>(total);
  });
}

}  // namespace topiary
