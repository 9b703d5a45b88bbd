// Unary and binary functions, element by element.
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 16384;  // Elements for which a second thread starts to pay.
constexpr int64_t kLine = 16;      // Floats of a cache line.

// Gives all operands one layout: that of the first that has one.
absl::Status SettleAlike(std::vector<TensorDescription>* operands) {
  Layout layout;
  for (const TensorDescription& operand : *operands) {
    if (!operand.layout.is_any()) {
      layout = operand.layout;
      break;
    }
  }
  for (TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) operand.layout = layout;
    if (operand.layout != layout) {
      return absl::UnimplementedError(absl::StrCat("an element-wise function of two layouts, ",
                                                   layout.ToString(), " and ",
                                                   operand.layout.ToString()));
    }
  }
  return absl::OkStatus();
}

// Whether the function maps 0 to 0, so that padding stays 0.
bool KeepsZero(const UnaryParameters& p) {
  switch (p.function) {
    case UnaryFunction::kSigmoid:
      return false;
    case UnaryFunction::kClip:
      return p.alpha <= 0 && p.beta >= 0;
    case UnaryFunction::kLinear:
      return p.beta == 0;
    default:
      return true;
  }
}

// Broadcasting as nested loops of few axes: neighbours that stretch alike are merged.
struct BroadcastLoop {
  struct Axis {
    int64_t extent;
    int64_t a_stride;
    int64_t b_stride;
  };
  std::vector<Axis> outer;  // Outermost first.
  Axis inner = {1, 0, 0};   // Strides 0 or 1.
};

BroadcastLoop MakeBroadcastLoop(const Shape& a, const Shape& b, const Shape& dst) {
  const Shape::Dims a_strides = BroadcastStrides(a, dst), b_strides = BroadcastStrides(b, dst);
  std::vector<BroadcastLoop::Axis> axes;
  for (int i = 0; i < dst.rank(); ++i) {
    if (dst[i] == 1) continue;
    const BroadcastLoop::Axis axis = {dst[i], a_strides[i], b_strides[i]};
    if (!axes.empty() && axes.back().a_stride == axis.extent * axis.a_stride &&
        axes.back().b_stride == axis.extent * axis.b_stride) {
      axes.back() = {axes.back().extent * axis.extent, axis.a_stride, axis.b_stride};
    } else {
      axes.push_back(axis);
    }
  }
  BroadcastLoop loop;
  if (!axes.empty()) {
    loop.inner = axes.back();
    axes.pop_back();
  }
  loop.outer = std::move(axes);
  return loop;
}

struct BroadcastKernel {
  CpuContext context;
  BinaryParameters p;
  BroadcastLoop loop;
  int64_t rows;

  void operator()(const KernelMemory& memory) const {
    const int64_t width = loop.inner.extent;
    ParallelFor(context.threads, rows, kGrain / width + 1, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) Row(memory, row);
    });
  }

  void Row(const KernelMemory& memory, int64_t row) const {
    int64_t a = 0, b = 0, rest = row;
    for (auto axis = loop.outer.rbegin(); axis != loop.outer.rend(); ++axis) {
      const int64_t index = rest % axis->extent;
      rest /= axis->extent;
      a += index * axis->a_stride;
      b += index * axis->b_stride;
    }
    const auto& inner = loop.inner;
    context.simd->binary(p, inner.extent, memory.At(0) + a, static_cast<int>(inner.a_stride),
                         memory.At(1) + b, static_cast<int>(inner.b_stride),
                         memory.At(2) + row * inner.extent);
  }
};

absl::StatusOr<std::unique_ptr<Kernel>> PlanFlatBinary(const CpuContext& context,
                                                       const BinaryParameters& p,
                                                       std::vector<TensorDescription> operands) {
  RETURN_IF_ERROR(SettleAlike(&operands));
  if (p.function == BinaryFunction::kDiv && IsPadded(operands[2])) {
    return absl::UnimplementedError("division in a padded layout: its padding would become NaN");
  }
  const int64_t n = StoredElements(operands[2]);
  return MakeOwnKernel(std::move(operands), 0, [context, p, n](const KernelMemory& memory) {
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      context.simd->binary(p, end - begin, memory.At(0) + begin, 1, memory.At(1) + begin, 1,
                           memory.At(2) + begin);
    });
  });
}

}  // namespace

KernelOr PlanUnaryForward(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<UnaryParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettleAlike(&operands));
  if (!KeepsZero(p) && IsPadded(operands[0])) {
    return absl::UnimplementedError("a function that moves 0 in a padded layout");
  }
  const int64_t n = StoredElements(operands[0]);
  return MakeOwnKernel(std::move(operands), 0, [context, p, n](const KernelMemory& memory) {
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      context.simd->unary_forward(p, end - begin, memory.At(0) + begin, memory.At(1) + begin);
    });
  });
}

// Padding of d_dst is 0 and every derivative is finite: padding of d_src is 0.
KernelOr PlanUnaryBackward(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<UnaryParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettleAlike(&operands));
  const int64_t n = StoredElements(operands[0]);
  return MakeOwnKernel(std::move(operands), 0, [context, p, n](const KernelMemory& memory) {
    ParallelFor(context.threads, n, kGrain, kLine, [&](int64_t begin, int64_t end, int) {
      context.simd->unary_backward(p, end - begin, memory.At(0) + begin, memory.At(1) + begin,
                                   memory.At(2) + begin);
    });
  });
}

KernelOr PlanBinary(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<BinaryParameters>(op.parameters);
  const Shape &a = op.operands[0].shape, &b = op.operands[1].shape, &dst = op.operands[2].shape;
  if (a == dst && b == dst) return PlanFlatBinary(context, p, op.operands);
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) {
      return absl::UnimplementedError(
          absl::StrCat("broadcasting in layout ", operand.layout.ToString()));
    }
  }
  const BroadcastLoop loop = MakeBroadcastLoop(a, b, dst);
  const int64_t rows = dst.element_count() / loop.inner.extent;
  return MakeOwnKernel(std::move(operands), 0, BroadcastKernel{context, p, loop, rows});
}

}  // namespace topiary
