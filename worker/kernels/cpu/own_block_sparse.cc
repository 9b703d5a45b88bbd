// kMatMul with patterns, by worker/kernels/blocksparse.
#include <memory>
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

KernelOr PlanSparseProduct(const CpuContext& context, const MatMulParameters& p,
                           std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseMatMul product,
                   BlockSparseMatMul::Create(*p.b_pattern, operands[order.a].shape[0],
                                             context.simd->isa, context.threads));
  const Shape weights = operands[order.b].shape;
  auto shared = std::make_shared<BlockSparseMatMul>(std::move(product));
  return MakeOwnKernel(std::move(operands), 0, [p, order, weights, shared](const KernelMemory& m) {
    shared->SetWeights(ViewOf(m.At(order.b), weights, p.transpose_b), p.alpha);
    shared->Run(m.At(order.a), order.bias < 0 ? nullptr : m.At(order.bias), p.fused_relu,
                m.At(order.dst));
  });
}

KernelOr PlanSparseGradient(const CpuContext& context, const MatMulParameters& p,
                            std::vector<TensorDescription> operands) {
  const MatMulOrder order(p);
  ASSIGN_OR_RETURN(BlockSparseWeightGradient gradient,
                   BlockSparseWeightGradient::Create(*p.dst_pattern, operands[order.a].shape[0],
                                                     context.simd->isa, context.threads));
  const int64_t columns = operands[order.dst].shape[1];
  auto shared = std::make_shared<BlockSparseWeightGradient>(std::move(gradient));
  return MakeOwnKernel(std::move(operands), 0, [p, order, columns, shared](const KernelMemory& m) {
    shared->Run(m.At(order.a), m.At(order.b), {m.At(order.dst), columns, 1}, p.alpha);
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

KernelOr PlanBlockSparseMatMul(const CpuContext& context, const OpDescription& op) {
  const auto& p = std::get<MatMulParameters>(op.parameters);
  std::vector<TensorDescription> operands = op.operands;
  RETURN_IF_ERROR(SettlePlain(&operands));
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
