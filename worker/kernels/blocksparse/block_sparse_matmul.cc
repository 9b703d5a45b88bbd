#include "worker/kernels/blocksparse/block_sparse_matmul.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Multiplications for which a second thread starts to pay.
constexpr int64_t kGrain = 1 << 19;

// Floats of the rows of x and y that one pass works on: about half of a core's second cache.
constexpr int64_t kChunkFloats = 1 << 16;

// Every tile's number of rows divides this.
constexpr int64_t kChunkUnit = 24;

// Rows of which a block's gradient is summed up while they are in the first cache, and those that
// are packed at a time.
constexpr int64_t kGradientChunk = 64;
constexpr int64_t kGradientPass = 256;

int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Parts of scratch memory begin at multiples of so many floats: a cache line.
constexpr int64_t kLineFloats = 16;

absl::Status CheckPlan(int64_t rows, int threads) {
  if (rows >= 1 && threads >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a product of ", rows, " rows on ", threads, " threads is none"));
}

// How many items of a loop over `items`, together `multiplications`, are worth a thread.
int64_t GrainOf(int64_t items, int64_t multiplications) {
  if (multiplications == 0) return items;
  return std::max<int64_t>(1, items * kGrain / std::max(multiplications, kGrain));
}

// A block to copy, whose rows and columns lie apart on both sides.
struct BlockCopy {
  int64_t rows;
  int64_t cols;
  int64_t from_row_stride;
  int64_t from_col_stride;
  int64_t to_row_stride;
  int64_t to_col_stride;
};

// to = factor * from. The side that lies far apart is walked along its neighbours.
void CopyTimes(const BlockCopy& c, float factor, const float* from, float* to) {
  if (c.from_col_stride == 1 && c.to_col_stride == 1) {
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.cols; ++j) {
        to[i * c.to_row_stride + j] = factor * from[i * c.from_row_stride + j];
      }
    }
    return;
  }
  for (int64_t j = 0; j < c.cols; ++j) {
    for (int64_t i = 0; i < c.rows; ++i) {
      to[i * c.to_row_stride + j * c.to_col_stride] =
          factor * from[i * c.from_row_stride + j * c.from_col_stride];
    }
  }
}

// Units of the next panel, where `left` are still to come: the most there may be, but rather two
// halves than a last one of one unit.
int64_t NextUnits(int64_t left, int64_t most) {
  return left == most + 1 ? (left + 1) / 2 : std::min(left, most);
}

}  // namespace

absl::StatusOr<BlockSparseMatMul> BlockSparseMatMul::Create(const BlockSparsePattern& pattern,
                                                            int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(rows, threads); !status.ok()) return status;
  return BlockSparseMatMul(pattern, rows, BlockKernelsFor(isa), threads);
}

BlockSparseMatMul::BlockSparseMatMul(const BlockSparsePattern& pattern, int64_t rows,
                                     const BlockKernels& kernels, int threads)
    : by_output_(pattern.Transposed()),
      rows_(rows),
      kernels_(&kernels),
      threads_(threads),
      along_columns_(pattern.block_cols >= 2 * kernels.lanes || rows < kernels.lanes) {
  const int64_t columns = static_cast<int64_t>(by_output_.crow_indices.size()) - 1;
  cost_.push_back(0);
  for (int64_t j = 0; j < columns; ++j) {
    const int64_t width = by_output_.RowsOf(j);
    strides_.push_back(along_columns_ ? RoundUp(width, kernels.lanes) : width);
    int64_t cost = width;
    for (int32_t k = by_output_.crow_indices[j]; k < by_output_.crow_indices[j + 1]; ++k) {
      const int64_t i = by_output_.col_indices[k];
      const int64_t depth = by_output_.ColsOf(i);
      terms_.push_back({by_output_.ColOf(i), depth, packed_floats_});
      packed_floats_ += depth * strides_.back();
      cost += depth * width;
    }
    cost_.push_back(cost_.back() + cost);
  }
  packed_floats_ += kLineFloats;  // Compilers may have kernels read on, see block_kernels.h.
  columns_grain_ = GrainOf(columns, rows * cost_.back());
  rows_grain_ = GrainOf(rows, rows * cost_.back());
  if (!along_columns_) {
    panel_units_ = pattern.block_cols == 1 ? kMaxUnitsOfOneColumn : kMaxPanelUnits;
  }
}

int64_t BlockSparseMatMul::panel_floats() const {
  return RoundUp(panel_units_ * kernels_->lanes * (by_output_.rows + by_output_.cols), kLineFloats);
}

int64_t BlockSparseMatMul::scratch_floats() const {
  return along_columns_ ? 0 : threads_ * panel_floats();
}

bool BlockSparseMatMul::PacksLike(const BlockSparseMatMul& other) const {
  const BlockSparsePattern& a = by_output_;
  const BlockSparsePattern& b = other.by_output_;
  return a.rows == b.rows && a.cols == b.cols && a.block_rows == b.block_rows &&
         a.block_cols == b.block_cols && a.crow_indices == b.crow_indices &&
         a.col_indices == b.col_indices && strides_ == other.strides_;
}

void BlockSparseMatMul::Pack(const MatrixView& weights, float factor, float* packed) const {
  const int64_t columns = static_cast<int64_t>(strides_.size());
  ParallelFor(threads_, columns, columns_grain_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      const int64_t width = by_output_.RowsOf(j);
      for (int32_t t = by_output_.crow_indices[j]; t < by_output_.crow_indices[j + 1]; ++t) {
        const BlockTerm& term = terms_[t];
        const float* from = weights.data + term.input * weights.row_stride +
                            by_output_.RowOf(j) * weights.col_stride;
        float* to = packed + term.weights;
        CopyTimes({term.depth, width, weights.row_stride, weights.col_stride, strides_[j], 1},
                  factor, from, to);
        for (int64_t i = 0; i < term.depth && width < strides_[j]; ++i) {
          std::fill_n(to + i * strides_[j] + width, strides_[j] - width, 0.0f);
        }
      }
    }
  });
}

BlockColumn BlockSparseMatMul::ColumnOf(int64_t j, const Product& product) const {
  BlockColumn column;
  column.terms = terms_.data() + by_output_.crow_indices[j];
  column.term_count = by_output_.crow_indices[j + 1] - by_output_.crow_indices[j];
  column.width = by_output_.RowsOf(j);
  column.stride = strides_[j];
  column.bias = product.bias == nullptr ? nullptr : product.bias + by_output_.RowOf(j);
  column.relu = product.relu;
  return column;
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
  const int64_t inputs = by_output_.cols, outputs = by_output_.rows;
  const int64_t columns = static_cast<int64_t>(strides_.size());
  const auto multiply = [&](int64_t first_row, int64_t end_row, int64_t first_column,
                            int64_t end_column) {
    const int64_t chunk =
        std::max<int64_t>(1, kChunkFloats / (inputs + outputs) / kChunkUnit) * kChunkUnit;
    for (int64_t row = first_row; row < end_row; row += chunk) {
      const int64_t count = std::min(chunk, end_row - row);
      for (int64_t j = first_column; j < end_column; ++j) {
        kernels_->multiply_rows(ColumnOf(j, product), product.packed, product.x + row * inputs,
                                inputs, count, product.y + row * outputs + by_output_.RowOf(j),
                                outputs);
      }
    }
  };
  // Few rows are not split: each thread takes columns of about the same cost instead.
  if (rows_ < threads_ * kChunkUnit) {
    ParallelFor(threads_, columns, columns_grain_, 1, [&](int64_t begin, int64_t end, int part) {
      if (end - begin < columns) {
        const auto at = [&](int index) {
          const int64_t share = cost_.back() * index / threads_;
          return std::lower_bound(cost_.begin(), cost_.end(), share) - cost_.begin();
        };
        begin = at(part);
        end = at(part + 1);
      }
      multiply(0, rows_, begin, end);
    });
    return;
  }
  ParallelFor(threads_, rows_, rows_grain_, kChunkUnit / 2,
              [&](int64_t begin, int64_t end, int) { multiply(begin, end, 0, columns); });
}

void BlockSparseMatMul::RunAlongRows(const Product& product, float* panels) const {
  const int64_t inputs = by_output_.cols, outputs = by_output_.rows, lanes = kernels_->lanes;
  const int64_t columns = static_cast<int64_t>(strides_.size());
  ParallelFor(threads_, rows_, rows_grain_, lanes, [&](int64_t begin, int64_t end, int part) {
    float* x_panel = panels + part * panel_floats();
    float* y_panel = x_panel + panel_units_ * lanes * inputs;
    while (begin < end) {
      const int64_t units = NextUnits(RoundUp(end - begin, lanes) / lanes, panel_units_);
      const int64_t count = std::min(end - begin, units * lanes);
      kernels_->pack_panel(product.x + begin * inputs, inputs, count, inputs, units, x_panel);
      for (int64_t j = 0; j < columns; ++j) {
        kernels_->multiply_panel(ColumnOf(j, product), product.packed, x_panel, units,
                                 y_panel + by_output_.RowOf(j) * units * lanes);
      }
      kernels_->unpack_panel(y_panel, units, count, outputs, product.y + begin * outputs, outputs);
      begin += count;
    }
  });
}

absl::StatusOr<BlockSparseWeightGradient> BlockSparseWeightGradient::Create(
    const BlockSparsePattern& pattern, int64_t rows, CpuIsa isa, int threads) {
  if (const absl::Status status = CheckPlan(rows, threads); !status.ok()) return status;
  return BlockSparseWeightGradient(pattern, rows, BlockKernelsFor(isa), threads);
}

BlockSparseWeightGradient::BlockSparseWeightGradient(const BlockSparsePattern& pattern,
                                                     int64_t rows, const BlockKernels& kernels,
                                                     int threads)
    : pattern_(pattern),
      rows_(rows),
      kernels_(&kernels),
      threads_(threads),
      along_columns_(pattern.block_cols >= kernels.lanes) {
  stride_ = along_columns_ ? RoundUp(pattern.block_cols, kernels.lanes) : pattern.block_cols;
  const int64_t across = (pattern.cols - 1) / pattern.block_cols + 1;
  const int64_t padded_cols = along_columns_ ? across * stride_ : pattern.cols;
  for (size_t i = 0; i + 1 < pattern.crow_indices.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    for (int32_t k = pattern.crow_indices[i]; k < pattern.crow_indices[i + 1]; ++k) {
      const int64_t j = pattern.col_indices[k];
      blocks_.push_back({row, pattern.RowsOf(row), j, pattern.ColsOf(j)});
    }
  }
  const int64_t pass = RoundUp(std::min(rows, kGradientPass), kernels.lanes);
  x_floats_ = RoundUp(pass * RoundUp(pattern.rows, pattern.block_rows), kLineFloats);
  d_y_floats_ = RoundUp(pass * padded_cols, kLineFloats);
  sums_floats_ = pattern.kept_blocks() * pattern.block_rows * stride_;
}

// x, and in the same way d_y, as the products read it. Along columns: block by block,
// [rows][block], so that rows far apart in memory do not push each other out of the cache. Along
// rows: one panel.
void BlockSparseWeightGradient::Pack(const float* from, int64_t rows, bool of_inputs,
                                     float* to) const {
  const int64_t features = of_inputs ? pattern_.rows : pattern_.cols;
  const int64_t block = of_inputs ? pattern_.block_rows : pattern_.block_cols;
  const int64_t units = RoundUp(rows, kernels_->lanes) / kernels_->lanes;
  ParallelFor(threads_, features, GrainOf(features, features * rows), block,
              [&](int64_t begin, int64_t end, int) {
                if (!along_columns_) {
                  kernels_->pack_panel(from + begin, features, rows, end - begin, units,
                                       to + begin * units * kernels_->lanes);
                  return;
                }
                const int64_t stride = of_inputs ? block : stride_;
                for (int64_t first = begin; first < end; first += block) {
                  const int64_t width = std::min(block, features - first);
                  float* rows_of_block = to + first / block * stride * rows;
                  for (int64_t r = 0; r < rows; ++r) {
                    float* row = rows_of_block + r * stride;
                    std::copy_n(from + r * features + first, width, row);
                    std::fill(row + width, row + stride, 0.0f);
                  }
                }
              });
}

// Adds the products of the rows that are packed to a block's sums.
void BlockSparseWeightGradient::AddTo(const Block& block, const PackedRows& packed,
                                      float* sums) const {
  if (!along_columns_) {
    const int64_t height = RoundUp(packed.rows, kernels_->lanes);
    kernels_->add_dot_products(packed.x + pattern_.RowOf(block.row) * height,
                               packed.d_y + pattern_.ColOf(block.col) * height, height, block.depth,
                               block.width, sums, stride_);
    return;
  }
  const float* x = packed.x + block.row * pattern_.block_rows * packed.rows;
  const float* d_y = packed.d_y + block.col * stride_ * packed.rows;
  for (int64_t row = 0; row < packed.rows; row += kGradientChunk) {
    kernels_->add_outer_products(
        x + row * pattern_.block_rows, pattern_.block_rows, d_y + row * stride_, stride_,
        std::min(kGradientChunk, packed.rows - row), block.depth, block.width, sums, stride_);
  }
}

void BlockSparseWeightGradient::Run(const float* x, const float* d_y,
                                    const MutableMatrixView& d_weights, float factor,
                                    float* scratch) const {
  const auto count = static_cast<int64_t>(blocks_.size());
  float* packed_x = scratch;
  float* packed_d_y = packed_x + x_floats_;
  float* all_sums = packed_d_y + d_y_floats_;
  for (int64_t row = 0; row < rows_; row += kGradientPass) {
    const int64_t rows = std::min(kGradientPass, rows_ - row);
    Pack(x + row * pattern_.rows, rows, /*of_inputs=*/true, packed_x);
    Pack(d_y + row * pattern_.cols, rows, /*of_inputs=*/false, packed_d_y);
    const int64_t grain = GrainOf(count, rows * sums_floats_);
    ParallelFor(threads_, count, grain, 1, [&](int64_t begin, int64_t end, int) {
      const int64_t block_sums = pattern_.block_rows * stride_;
      for (int64_t b = begin; b < end; ++b) {
        const Block& block = blocks_[b];
        float* sums = all_sums + b * block_sums;
        if (row == 0) std::fill_n(sums, block_sums, 0.0f);
        AddTo(block, {packed_x, packed_d_y, rows}, sums);
        if (row + rows < rows_) continue;
        CopyTimes(
            {block.depth, block.width, stride_, 1, d_weights.row_stride, d_weights.col_stride},
            factor, sums,
            d_weights.data + pattern_.RowOf(block.row) * d_weights.row_stride +
                pattern_.ColOf(block.col) * d_weights.col_stride);
      }
    });
  }
}

}  // namespace topiary
