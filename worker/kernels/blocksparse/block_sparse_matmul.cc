#include "worker/kernels/blocksparse/block_sparse_matmul.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

absl::Status CheckPlan(const BlockSparsePattern& pattern, int64_t rows, int threads) {
  if (rows < 1 || threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a product of ", rows, " rows on ", threads, " threads is none"));
  }
  if (pattern.groups == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a product with one matrix, but the pattern is of ", pattern.groups));
}

// Rows one after the other, which a single tap sees as they are.
GatherShape RowsOfMatrix(const BlockSparsePattern& pattern, int64_t rows) {
  GatherShape shape;
  shape.width.rows = shape.width.source = shape.width.target = rows;
  shape.inputs = pattern.rows;
  shape.outputs = pattern.cols;
  return shape;
}

}  // namespace

absl::StatusOr<BlockSparseMatMul> BlockSparseMatMul::Create(const BlockSparsePattern& pattern,
                                                            int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, rows, threads); !status.ok()) return status;
  const BlockKernels& kernels = BlockKernelsFor(isa);
  GatherShape shape = RowsOfMatrix(pattern, rows);
  const bool along_columns =
      GoesAlongColumns(shape, pattern.block_cols, pattern.kept_elements(), kernels);
  BlockColumns columns;
  const BlockSparsePattern by_output = pattern.Transposed();
  for (int64_t j = 0; j < by_output.down(); ++j) {
    const int64_t width = by_output.RowsOf(j);
    columns.AddColumn(by_output.RowOf(j), width,
                      along_columns ? RoundUp(width, kernels.lanes) : width);
    for (int32_t k = by_output.crow_indices[j]; k < by_output.crow_indices[j + 1]; ++k) {
      const int64_t i = by_output.col_indices[k];
      columns.AddTerm(0, by_output.ColOf(i), by_output.ColsOf(i));
    }
  }
  return BlockSparseMatMul(
      pattern.rows,
      GatheredProduct(std::move(shape), std::move(columns), kernels, along_columns, threads),
      threads);
}

bool BlockSparseMatMul::PacksLike(const BlockSparseMatMul& other) const {
  return inputs_ == other.inputs_ && product_.columns() == other.product_.columns();
}

void BlockSparseMatMul::Pack(const MatrixView& weights, float factor, float* packed) const {
  const auto block_at = [&weights](const BlockTerm& term, int64_t output) {
    return MatrixView{weights.data + term.input * weights.row_stride + output * weights.col_stride,
                      weights.row_stride, weights.col_stride};
  };
  product_.columns().Pack(block_at, factor, threads_, packed);
}

absl::StatusOr<BlockSparseWeightGradient> BlockSparseWeightGradient::Create(
    const BlockSparsePattern& pattern, int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, rows, threads); !status.ok()) return status;
  return BlockSparseWeightGradient(
      GatheredWeightGradient(pattern, RowsOfMatrix(pattern, rows), BlockKernelsFor(isa), threads));
}

void BlockSparseWeightGradient::Run(const float* x, const float* d_y,
                                    const MutableMatrixView& d_weights, float factor,
                                    float* scratch) const {
  const auto part_at = [&d_weights](const WeightPart& part) {
    return MutableMatrixView{
        d_weights.data + part.input * d_weights.row_stride + part.output * d_weights.col_stride,
        d_weights.row_stride, d_weights.col_stride};
  };
  gradient_.Run(x, d_y, part_at, factor, scratch);
}

}  // namespace topiary
