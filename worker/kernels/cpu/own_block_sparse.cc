// kMatMul with patterns, by worker/kernels/blocksparse, and kReorder of its weights.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/blocksparse/block_sparse_matmul.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/operand_order.h"

namespace topiary {
namespace {

// [rows, columns] or, read with its axes swapped, [columns, rows].
MatrixView ViewOf(const float* data, const Shape& shape, bool transpose) {
  return transpose ? MatrixView{data, 1, shape[1]} : MatrixView{data, shape[1], 1};
}

// The kept blocks of a weight, packed for a product.
class PackedBlocksLayout final : public OpaqueLayout {
 public:
  PackedBlocksLayout(std::shared_ptr<const BlockSparseMatMul> product, bool transpose, float factor)
      : product_(std::move(product)), transpose_(transpose), factor_(factor) {}

  size_t bytes() const override { return product_->packed_floats() * sizeof(float); }
  bool Equals(const OpaqueLayout& other) const override {
    const auto* packed = dynamic_cast<const PackedBlocksLayout*>(&other);
    return packed != nullptr && transpose_ == packed->transpose_ && factor_ == packed->factor_ &&
           product_->PacksLike(*packed->product_);
  }
  std::string ToString() const override { return "packed blocks"; }

  // From a plain weight of shape `shape`.
  void Pack(const float* weights, const Shape& shape, float* packed) const {
    product_->Pack(ViewOf(weights, shape, transpose_), factor_, packed);
  }

 private:
  const std::shared_ptr<const BlockSparseMatMul> product_;
  const bool transpose_;
  const float factor_;
};

const PackedBlocksLayout* PackedBlocksOf(const TensorDescription& description) {
  return dynamic_cast<const PackedBlocksLayout*>(description.layout.opaque());
}

// Weights that are given plain, as in training, where they change with each step, are packed by
// each run; those of any layout are asked for packed.
KernelOr PlanSparseProduct(const CpuContext& context, const MatMulParameters& p,
                           std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseMatMul product,
                   BlockSparseMatMul::Create(*p.b_pattern, operands[order.a].shape[0],
                                             context.simd->isa, context.threads));
  const auto shared = std::make_shared<const BlockSparseMatMul>(std::move(product));
  const auto packed = std::make_shared<const PackedBlocksLayout>(shared, p.transpose_b, p.alpha);
  Layout& layout = operands[order.b].layout;
  if (layout.is_any()) layout = Layout::Opaque(packed);
  const bool is_plain = layout.is_plain();
  if (!is_plain && layout != Layout::Opaque(packed)) {
    return absl::UnimplementedError("weights of another layout");
  }
  const Shape weights = operands[order.b].shape;
  const int64_t own = is_plain ? shared->packed_floats() : 0;
  // The copy comes after the panels, which fill whole cache lines.
  const int64_t scratch = shared->scratch_floats() + own;
  return MakeOwnKernel(std::move(operands), scratch * sizeof(float), [=](const KernelMemory& m) {
    float* work = m.Scratch();
    const float* blocks = m.At(order.b);
    if (is_plain) {
      float* copy = work + shared->scratch_floats();
      packed->Pack(blocks, weights, copy);
      blocks = copy;
    }
    shared->Run(m.At(order.a), blocks, order.bias < 0 ? nullptr : m.At(order.bias), p.fused_relu,
                work, m.At(order.dst));
  });
}

KernelOr PlanSparseGradient(const CpuContext& context, const MatMulParameters& p,
                            std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseWeightGradient gradient,
                   BlockSparseWeightGradient::Create(*p.dst_pattern, operands[order.a].shape[0],
                                                     context.simd->isa, context.threads));
  const int64_t columns = operands[order.dst].shape[1];
  const auto shared = std::make_shared<const BlockSparseWeightGradient>(std::move(gradient));
  return MakeOwnKernel(std::move(operands), shared->scratch_floats() * sizeof(float),
                       [p, order, columns, shared](const KernelMemory& m) {
                         shared->Run(m.At(order.a), m.At(order.b), {m.At(order.dst), columns, 1},
                                     p.alpha, m.Scratch());
                       });
}

// A pattern of another matrix would have the kernels read and write beyond the operands.
absl::Status CheckExtents(const MatMulParameters& p, absl::Span<const TensorDescription> operands) {
  const MatMulOrder order(p);
  const Shape& a = operands[order.a].shape;
  const Shape& b = operands[order.b].shape;
  const Shape& dst = operands[order.dst].shape;
  if (a.rank() != 2 || b.rank() != 2 || dst.rank() != 2) {
    return absl::InvalidArgumentError("a block-sparse product takes matrices");
  }
  const bool product = p.b_pattern == nullptr || (p.b_pattern->rows == b[p.transpose_b ? 1 : 0] &&
                                                  p.b_pattern->cols == b[p.transpose_b ? 0 : 1]);
  const bool gradient =
      p.dst_pattern == nullptr || (p.dst_pattern->rows == dst[0] && p.dst_pattern->cols == dst[1]);
  if (product && gradient) return absl::OkStatus();
  return absl::InvalidArgumentError("the pattern of a block-sparse product is of another matrix");
}

}  // namespace

bool PacksBlocks(const OpDescription& op) {
  return op.kind == OpKind::kReorder && PackedBlocksOf(op.operands[1]) != nullptr;
}

KernelOr PlanPackBlocks(const OpDescription& op) {
  if (!op.operands[0].layout.is_plain()) {
    return absl::UnimplementedError("packing of plain weights only");
  }
  const TensorDescription& packed = op.operands[1];
  return MakeOwnKernel(op.operands, 0, [packed](const KernelMemory& m) {
    PackedBlocksOf(packed)->Pack(m.At(0), packed.shape, m.At(1));
  });
}

KernelOr PlanBlockSparseMatMul(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<MatMulParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  const MatMulOrder order(p);
  // All are plain, but the weights, which may be packed.
  Layout weights;
  if (p.b_pattern != nullptr) weights = std::exchange(operands[order.b].layout, Layout::Plain());
  RETURN_IF_ERROR(SettlePlain(&operands));
  operands[order.b].layout = weights;
  if (p.accumulate) return absl::UnimplementedError("a block-sparse product that adds to dst");
  RETURN_IF_ERROR(CheckExtents(p, operands));
  if (p.b_pattern != nullptr && p.dst_pattern == nullptr && !p.transpose_a) {
    return PlanSparseProduct(context, p, std::move(operands));
  }
  if (p.dst_pattern != nullptr && p.b_pattern == nullptr && p.transpose_a && !p.transpose_b) {
    return PlanSparseGradient(context, p, std::move(operands));
  }
  return absl::UnimplementedError("a block-sparse product of these operands");
}

}  // namespace topiary
