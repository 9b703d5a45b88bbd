#include "worker/kernels/blocksparse/block_sparse_matmul.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/kernels/simd/parallel.h"

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

}  // namespace

absl::StatusOr<BlockSparseMatMul> BlockSparseMatMul::Create(const BlockSparsePattern& pattern,
                                                            int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, rows, threads); !status.ok()) return status;
  return BlockSparseMatMul(pattern, rows, BlockKernelsFor(isa), threads);
}

BlockSparseMatMul::BlockSparseMatMul(const BlockSparsePattern& pattern, int64_t rows,
                                     const BlockKernels& kernels, int threads)
    : inputs_(pattern.rows),
      outputs_(pattern.cols),
      rows_(rows),
      kernels_(&kernels),
      threads_(threads),
      along_columns_(pattern.block_cols >= 2 * kernels.lanes || rows < kernels.lanes) {
  const BlockSparsePattern by_output = pattern.Transposed();
  for (int64_t j = 0; j < by_output.down(); ++j) {
    const int64_t width = by_output.RowsOf(j);
    columns_.AddColumn(by_output.RowOf(j), width,
                       along_columns_ ? RoundUp(width, kernels.lanes) : width);
    for (int32_t k = by_output.crow_indices[j]; k < by_output.crow_indices[j + 1]; ++k) {
      const int64_t i = by_output.col_indices[k];
      columns_.AddTerm(0, by_output.ColOf(i), by_output.ColsOf(i));
    }
  }
  columns_grain_ = GrainOf(columns_.size(), rows * columns_.cost());
  rows_grain_ = GrainOf(rows, rows * columns_.cost());
  if (!along_columns_) {
    panel_units_ = pattern.block_cols == 1 ? kMaxUnitsOfOneColumn : kMaxPanelUnits;
  }
}

int64_t BlockSparseMatMul::panel_floats() const {
  return RoundUp(panel_units_ * kernels_->lanes * (inputs_ + outputs_), kLineFloats);
}

int64_t BlockSparseMatMul::scratch_floats() const {
  return along_columns_ ? 0 : threads_ * panel_floats();
}

bool BlockSparseMatMul::PacksLike(const BlockSparseMatMul& other) const {
  return inputs_ == other.inputs_ && outputs_ == other.outputs_ && columns_ == other.columns_;
}

void BlockSparseMatMul::Pack(const MatrixView& weights, float factor, float* packed) const {
  const auto block_at = [&weights](const BlockTerm& term, int64_t output) {
    return MatrixView{weights.data + term.input * weights.row_stride + output * weights.col_stride,
                      weights.row_stride, weights.col_stride};
  };
  columns_.Pack(block_at, factor, threads_, packed);
}

void BlockSparseMatMul::Run(const float* x, const float* packed, const float* bias, bool relu,
                            float* scratch, float* y) const {
  const Product product = {x, packed, bias, relu, y};
  if (along_columns_) {
    RunAlongColumns(product);
  } else {
    RunAlongRows(product, scratch);
  }
}

void BlockSparseMatMul::RunAlongColumns(const Product& product) const {
  const auto multiply = [&](int64_t first_row, int64_t end_row, const ColumnRange& columns) {
    const int64_t chunk =
        std::max<int64_t>(1, kChunkFloats / (inputs_ + outputs_) / kChunkUnit) * kChunkUnit;
    for (int64_t row = first_row; row < end_row; row += chunk) {
      const int64_t count = std::min(chunk, end_row - row);
      for (int64_t j = columns.begin; j < columns.end; ++j) {
        kernels_->multiply_rows(columns_.At(j, product.bias, product.relu), product.packed,
                                product.x + row * inputs_, inputs_, count,
                                product.y + row * outputs_ + columns_.output(j), outputs_);
      }
    }
  };
  // Few rows are not split: each thread takes columns of about the same cost instead.
  if (rows_ < threads_ * kChunkUnit) {
    ParallelFor(
        threads_, columns_.size(), columns_grain_, 1, [&](int64_t begin, int64_t end, int part) {
          const bool alone = end - begin == columns_.size();
          multiply(0, rows_, alone ? ColumnRange{begin, end} : columns_.Share(part, threads_));
        });
    return;
  }
  ParallelFor(threads_, rows_, rows_grain_, kChunkUnit / 2, [&](int64_t begin, int64_t end, int) {
    multiply(begin, end, {0, columns_.size()});
  });
}

void BlockSparseMatMul::RunAlongRows(const Product& product, float* panels) const {
  const int64_t lanes = kernels_->lanes;
  ParallelFor(threads_, rows_, rows_grain_, lanes, [&](int64_t begin, int64_t end, int part) {
    float* x_panel = panels + part * panel_floats();
    float* y_panel = x_panel + panel_units_ * lanes * inputs_;
    while (begin < end) {
      const int64_t units = NextUnits(RoundUp(end - begin, lanes) / lanes, panel_units_);
      const int64_t count = std::min(end - begin, units * lanes);
      kernels_->pack_panel(product.x + begin * inputs_, inputs_, count, inputs_, units, x_panel);
      for (int64_t j = 0; j < columns_.size(); ++j) {
        kernels_->multiply_panel(columns_.At(j, product.bias, product.relu), product.packed,
                                 x_panel, units, y_panel + columns_.output(j) * units * lanes);
      }
      kernels_->unpack_panel(y_panel, units, count, outputs_, product.y + begin * outputs_,
                             outputs_);
      begin += count;
    }
  });
}

absl::StatusOr<BlockSparseWeightGradient> BlockSparseWeightGradient::Create(
    const BlockSparsePattern& pattern, int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(pattern, rows, threads); !status.ok()) return status;
  GatherShape shape;
  shape.width.rows = shape.width.source = shape.width.target = rows;
  shape.inputs = pattern.rows;
  shape.outputs = pattern.cols;
  return BlockSparseWeightGradient(
      GatheredWeightGradient(pattern, std::move(shape), BlockKernelsFor(isa), threads));
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
