// Concatenation, its inverse, and dropout.
#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/dropout_mask.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr int64_t kGrain = 16384;

// Operands as [outer, slice]: the parts' slices lie one after the other in the whole's.
struct Slices {
  int64_t outer = 1;
  std::vector<int64_t> part_sizes;  // Elements.
  int64_t whole_size = 0;
};

bool IsBlocked(const absl::optional<ChannelLayout>& layout) {
  return layout && layout->kind == ChannelLayout::Kind::kBlocked;
}

// Gives all operands the layout of the first that has one: plain, or, along axis 1, blocks of
// channels that need no padding: there [n, c / b, spatial, b] is cut at axis 1 as well.
absl::Status SettleConcat(int axis, std::vector<TensorDescription>* operands) {
  absl::optional<ChannelLayout> layout = ChannelLayout();
  for (const TensorDescription& operand : *operands) {
    if (operand.layout.is_any()) continue;
    layout = ChannelLayoutOf(operand);
    break;
  }
  for (TensorDescription& operand : *operands) {
    TensorDescription wanted = {operand.shape, operand.dtype, Layout::Plain()};
    if (IsBlocked(layout)) {
      wanted = DescribedBy(operand.shape, operand.dtype,
                           ChannelBlockedDesc(operand.shape, layout->block));
    }
    if (operand.layout.is_any()) operand = wanted;
    if (operand != wanted || (IsBlocked(layout) && (axis != 1 || IsPadded(operand)))) {
      return absl::UnimplementedError(absl::StrCat("concatenation along axis ", axis, " in layout ",
                                                   operand.layout.ToString()));
    }
  }
  return absl::OkStatus();
}

Slices SlicesOf(int axis, absl::Span<const TensorDescription> parts) {
  Slices slices;
  for (int i = 0; i < axis; ++i) slices.outer *= parts[0].shape[i];
  for (const TensorDescription& part : parts) {
    slices.part_sizes.push_back(part.shape.element_count() / slices.outer);
    slices.whole_size += slices.part_sizes.back();
  }
  return slices;
}

struct ConcatKernel {
  CpuContext context;
  Slices slices;
  bool split;

  void operator()(const KernelMemory& memory) const {
    const int parts = static_cast<int>(slices.part_sizes.size());
    float* whole = memory.At(split ? 0 : parts);
    ParallelFor(context.threads, slices.outer, kGrain / slices.whole_size + 1, 1,
                [&](int64_t begin, int64_t end, int) {
                  for (int64_t i = begin; i < end; ++i) {
                    CopyRow(memory, i, whole + i * slices.whole_size);
                  }
                });
  }

  void CopyRow(const KernelMemory& memory, int64_t row, float* whole) const {
    for (size_t part = 0; part < slices.part_sizes.size(); ++part) {
      const int64_t size = slices.part_sizes[part];
      float* slice = memory.At(static_cast<int>(part) + (split ? 1 : 0)) + row * size;
      std::memcpy(split ? slice : whole, split ? whole : slice, size * sizeof(float));
      whole += size;
    }
  }
};

// Multiplies by the mask's factors, drawn again in each direction, a piece at a time.
struct DropoutKernel {
  CpuContext context;
  DropoutParameters p;
  int64_t n;

  static constexpr int64_t kPiece = 1024;  // A multiple of 4, as DropoutFactors() asks.

  void operator()(const KernelMemory& memory) const {
    ParallelFor(context.threads, n, kPiece, kPiece, [&](int64_t begin, int64_t end, int) {
      float factors[kPiece];
      for (int64_t i = begin; i < end; i += kPiece) {
        const int64_t count = std::min(kPiece, end - i);
        DropoutFactors(p, i, absl::MakeSpan(factors, static_cast<size_t>(count)));
        context.simd->binary({BinaryFunction::kMul, false}, count, memory.At(0) + i, 1, factors, 1,
                             memory.At(1) + i);
      }
    });
  }
};

}  // namespace

KernelOr PlanConcat(const CpuContext& context, const OpDescription& op) {
  const int axis = std::get<ConcatParameters>(op.parameters).axis;
  const bool split = op.kind == OpKind::kSplit;
  std::vector<TensorDescription> operands = op.operands;
  if (absl::Status status = SettleConcat(axis, &operands); !status.ok()) return status;
  const absl::Span<const TensorDescription> all(operands);
  Slices slices = SlicesOf(axis, split ? all.subspan(1) : all.subspan(0, all.size() - 1));
  return MakeOwnKernel(std::move(operands), 0, ConcatKernel{context, std::move(slices), split});
}

KernelOr PlanDropout(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<DropoutParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain())
      return absl::UnimplementedError("dropout of a plain tensor only");
  }
  const int64_t n = operands[0].shape.element_count();
  return MakeOwnKernel(std::move(operands), 0, DropoutKernel{context, p, n});
}

}  // namespace topiary
