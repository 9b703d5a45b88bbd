#ifndef TOPIARY_WORKER_KERNELS_BLOCK_SPARSE_PATTERN_H_
#define TOPIARY_WORKER_KERNELS_BLOCK_SPARSE_PATTERN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace topiary {

// Which blocks of a matrix [rows, cols] are kept, in the block compressed sparse row format: the
// kept blocks of block row i stand in the columns col_indices[crow_indices[i]] to
// col_indices[crow_indices[i + 1] - 1], ascending. Blocks at the edges may be smaller.
//
// A grouped convolution has a matrix for each group, all of the same extents: their block rows are
// numbered through, and no block straddles two of them.
//
// A value type; thread-compatible.
struct BlockSparsePattern {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t block_rows = 0;
  int64_t block_cols = 0;
  std::vector<int32_t> crow_indices;
  std::vector<int32_t> col_indices;
  int64_t groups = 1;

  // `kept` has a number for each block, by group, block row, then block column: 0 where it is
  // pruned. Blocks larger than the matrix are cut to it.
  // INVALID_ARGUMENT where an extent is below 1, there are 2^31 blocks or more, or `kept` does not
  // have one number for each.
  static absl::StatusOr<BlockSparsePattern> Create(int64_t rows, int64_t cols, int64_t block_rows,
                                                   int64_t block_cols,
                                                   absl::Span<const uint8_t> kept,
                                                   int64_t groups = 1);

  // That of the transposed matrices.
  BlockSparsePattern Transposed() const;

  // Whether the block of this element is kept.
  bool Keeps(int64_t row, int64_t col, int64_t group = 0) const;

  int64_t kept_blocks() const { return static_cast<int64_t>(col_indices.size()); }
  int64_t kept_elements() const;
  int64_t elements() const { return groups * rows * cols; }

  // Block rows and block columns of one matrix.
  int64_t down() const { return (rows - 1) / block_rows + 1; }
  int64_t across() const { return (cols - 1) / block_cols + 1; }

  // The matrix of block row i, the row of it with which the block row begins, and how many rows it
  // has; the same for columns.
  int64_t GroupOf(int64_t i) const { return i / down(); }
  int64_t RowOf(int64_t i) const { return i % down() * block_rows; }
  int64_t RowsOf(int64_t i) const;
  int64_t ColOf(int64_t j) const { return j * block_cols; }
  int64_t ColsOf(int64_t j) const;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCK_SPARSE_PATTERN_H_
