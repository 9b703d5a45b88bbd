#include "worker/kernels/block_sparse_pattern.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace topiary {

absl::StatusOr<BlockSparsePattern> BlockSparsePattern::Create(int64_t rows, int64_t cols,
                                                              int64_t block_rows,
                                                              int64_t block_cols,
                                                              absl::Span<const uint8_t> kept,
                                                              int64_t groups) {
  if (rows < 1 || cols < 1 || block_rows < 1 || block_cols < 1 || groups < 1) {
    return absl::InvalidArgumentError(absl::StrCat(groups, " matrices of ", rows, " x ", cols,
                                                   " have no blocks of ", block_rows, " x ",
                                                   block_cols));
  }
  BlockSparsePattern pattern;
  pattern.rows = rows;
  pattern.cols = cols;
  pattern.block_rows = std::min(block_rows, rows);
  pattern.block_cols = std::min(block_cols, cols);
  pattern.groups = groups;
  const int64_t down = pattern.down(), across = pattern.across();
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (down > kMost / across || groups > kMost / (down * across)) {
    return absl::InvalidArgumentError(
        absl::StrCat(groups, " x ", down, " x ", across, " blocks are more than 2^31 - 1"));
  }
  if (static_cast<int64_t>(kept.size()) != groups * down * across) {
    return absl::InvalidArgumentError(absl::StrCat(kept.size(), " numbers say which of ", groups,
                                                   " x ", down, " x ", across, " blocks are kept"));
  }
  pattern.crow_indices.reserve(groups * down + 1);
  pattern.crow_indices.push_back(0);
  for (int64_t i = 0; i < groups * down; ++i) {
    for (int64_t j = 0; j < across; ++j) {
      if (kept[i * across + j] != 0) pattern.col_indices.push_back(static_cast<int32_t>(j));
    }
    pattern.crow_indices.push_back(static_cast<int32_t>(pattern.col_indices.size()));
  }
  return pattern;
}

BlockSparsePattern BlockSparsePattern::Transposed() const {
  const int64_t down = this->down(), across = this->across();
  BlockSparsePattern result;
  result.rows = cols;
  result.cols = rows;
  result.block_rows = block_cols;
  result.block_cols = block_rows;
  result.groups = groups;
  std::vector<int32_t>& crow = result.crow_indices;
  crow.assign(groups * across + 1, 0);
  const auto for_each_block = [&](auto visit) {
    for (int64_t i = 0; i < groups * down; ++i) {
      for (int32_t k = crow_indices[i]; k < crow_indices[i + 1]; ++k) {
        visit(i % down, i / down * across + col_indices[k]);
      }
    }
  };
  for_each_block([&crow](int64_t, int64_t j) { ++crow[j + 1]; });
  for (int64_t j = 0; j < groups * across; ++j) crow[j + 1] += crow[j];
  result.col_indices.resize(col_indices.size());
  std::vector<int32_t> next(crow.begin(), crow.end() - 1);
  for_each_block(
      [&](int64_t i, int64_t j) { result.col_indices[next[j]++] = static_cast<int32_t>(i); });
  return result;
}

bool BlockSparsePattern::Keeps(int64_t row, int64_t col, int64_t group) const {
  const int64_t i = group * down() + row / block_rows;
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
