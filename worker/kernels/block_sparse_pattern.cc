#include "worker/kernels/block_sparse_pattern.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace topiary {

absl::StatusOr<BlockSparsePattern> BlockSparsePattern::Create(int64_t rows, int64_t cols,
                                                              int64_t block_rows,
                                                              int64_t block_cols,
                                                              absl::Span<const uint8_t> kept) {
  if (rows < 1 || cols < 1 || block_rows < 1 || block_cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a matrix of ", rows, " x ", cols, " has no blocks of ", block_rows, " x ", block_cols));
  }
  block_rows = std::min(block_rows, rows);
  block_cols = std::min(block_cols, cols);
  const int64_t down = (rows - 1) / block_rows + 1;
  const int64_t across = (cols - 1) / block_cols + 1;
  if (down > std::numeric_limits<int32_t>::max() / across) {
    return absl::InvalidArgumentError(
        absl::StrCat(down, " x ", across, " blocks are more than 2^31 - 1"));
  }
  if (static_cast<int64_t>(kept.size()) != down * across) {
    return absl::InvalidArgumentError(absl::StrCat(kept.size(), " numbers say which of ", down,
                                                   " x ", across, " blocks are kept"));
  }
  BlockSparsePattern pattern{rows, cols, block_rows, block_cols, {0}, {}};
  pattern.crow_indices.reserve(down + 1);
  for (int64_t i = 0; i < down; ++i) {
    for (int64_t j = 0; j < across; ++j) {
      if (kept[i * across + j] != 0) pattern.col_indices.push_back(static_cast<int32_t>(j));
    }
    pattern.crow_indices.push_back(static_cast<int32_t>(pattern.col_indices.size()));
  }
  return pattern;
}

BlockSparsePattern BlockSparsePattern::Transposed() const {
  const int64_t across = (cols - 1) / block_cols + 1;
  BlockSparsePattern result{cols, rows, block_cols, block_rows, {}, {}};
  result.crow_indices.assign(across + 1, 0);
  for (const int32_t j : col_indices) ++result.crow_indices[j + 1];
  for (int64_t j = 0; j < across; ++j) result.crow_indices[j + 1] += result.crow_indices[j];
  result.col_indices.resize(col_indices.size());
  std::vector<int32_t> next(result.crow_indices.begin(), result.crow_indices.end() - 1);
  for (size_t i = 0; i + 1 < crow_indices.size(); ++i) {
    for (int32_t k = crow_indices[i]; k < crow_indices[i + 1]; ++k) {
      result.col_indices[next[col_indices[k]]++] = static_cast<int32_t>(i);
    }
  }
  return result;
}

bool BlockSparsePattern::Keeps(int64_t row, int64_t col) const {
  const int64_t i = row / block_rows;
  return std::binary_search(col_indices.begin() + crow_indices[i],
                            col_indices.begin() + crow_indices[i + 1],
                            static_cast<int32_t>(col / block_cols));
}

int64_t BlockSparsePattern::kept_elements() const {
  int64_t count = 0;
  for (size_t i = 0; i + 1 < crow_indices.size(); ++i) {
    int64_t width = 0;
    for (int32_t k = crow_indices[i]; k < crow_indices[i + 1]; ++k) width += ColsOf(col_indices[k]);
    count += width * RowsOf(static_cast<int64_t>(i));
  }
  return count;
}

int64_t BlockSparsePattern::RowsOf(int64_t i) const {
  return std::min(block_rows, rows - RowOf(i));
}

int64_t BlockSparsePattern::ColsOf(int64_t j) const {
  return std::min(block_cols, cols - ColOf(j));
}

}  // namespace topiary
