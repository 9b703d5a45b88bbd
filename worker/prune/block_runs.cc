#include "worker/prune/block_runs.h"

#include <algorithm>
#include <limits>

#include "common/check.h"

namespace topiary {
namespace {

constexpr int64_t kLongestRun = std::numeric_limits<int32_t>::max();

// Columns of a matrix are cut in runs of so many rows that the kernels, which work on pieces of a
// weight that no run leaves, have pieces that fit their caches.
constexpr int64_t kFewestRows = 16;
constexpr int64_t kPieceElements = 2048;

// Indices [first, first + extent) along an axis, all in one block.
struct IndexRange {
  int64_t first;
  int64_t extent;
  int32_t block;
};

std::vector<IndexRange> RangesOf(absl::Span<const int> blocks) {
  std::vector<IndexRange> ranges;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i] < 0) continue;
    const auto at = static_cast<int64_t>(i);
    if (!ranges.empty() && ranges.back().block == blocks[i] &&
        ranges.back().first + ranges.back().extent == at) {
      ++ranges.back().extent;
    } else {
      ranges.push_back({at, 1, blocks[i]});
    }
  }
  return ranges;
}

void AddContiguous(int64_t begin, int64_t end, int32_t block, std::vector<BlockRun>* runs) {
  for (int64_t at = begin; at < end; at += kLongestRun) {
    runs->push_back({at, static_cast<int32_t>(std::min(kLongestRun, end - at)), 1, block});
  }
}

// How the slices of a tensor across an axis lie.
struct Slices {
  int64_t extent;  // Of the axis.
  int64_t inner;   // Elements that lie together.
  int64_t outer;   // Indices of the axes before.
  bool columns;    // Of a matrix.
  int64_t rows;    // Of a run of a column, at most.
};

Slices SlicesAcross(const Shape& shape, int axis) {
  Slices slices = {shape[axis], shape.Strides()[axis], 1, false, 0};
  for (int i = 0; i < axis; ++i) slices.outer *= shape[i];
  slices.columns = slices.inner == 1 && slices.outer > 1 && slices.extent <= kLongestRun;
  slices.rows = std::max(kFewestRows, kPieceElements / std::max<int64_t>(1, slices.extent));
  return slices;
}

}  // namespace

void SortAndJoin(std::vector<BlockRun>* runs) {
  std::sort(runs->begin(), runs->end(),
            [](const BlockRun& a, const BlockRun& b) { return a.offset < b.offset; });
  size_t last = 0;
  for (size_t i = 1; i < runs->size(); ++i) {
    BlockRun& left = (*runs)[last];
    const BlockRun& right = (*runs)[i];
    const bool goes_on = left.block_step == 0 && right.block_step == 0 &&
                         left.block == right.block && left.stride == right.stride &&
                         left.offset + int64_t{left.length} * left.stride == right.offset &&
                         int64_t{left.length} + right.length <= kLongestRun;
    if (goes_on) {
      left.length += right.length;
    } else {
      (*runs)[++last] = right;
    }
  }
  runs->resize(std::min(runs->size(), last + 1));
  runs->shrink_to_fit();
}

std::vector<BlockRun> RunsOfSlices(const Shape& shape, int axis, absl::Span<const int> blocks) {
  CHECK_EQ(static_cast<int64_t>(blocks.size()), shape[axis]);
  const auto [extent, inner, outer, columns, rows] = SlicesAcross(shape, axis);
  const std::vector<IndexRange> ranges = RangesOf(blocks);
  std::vector<BlockRun> runs;
  for (int64_t row = 0; row < outer; row += columns ? rows : 1) {
    for (const IndexRange& range : ranges) {
      if (columns && range.extent == 1) {
        runs.push_back({row * extent + range.first,
                        static_cast<int32_t>(std::min(rows, outer - row)),
                        static_cast<int32_t>(extent), range.block});
        continue;
      }
      const int64_t end = columns ? std::min(row + rows, outer) : row + 1;
      for (int64_t o = row; o < end; ++o) {
        const int64_t begin = (o * extent + range.first) * inner;
        AddContiguous(begin, begin + range.extent * inner, range.block, &runs);
      }
    }
  }
  SortAndJoin(&runs);
  return runs;
}

int64_t CountRunsOfSlices(const Shape& shape, int axis, absl::Span<const int> blocks) {
  const Slices slices = SlicesAcross(shape, axis);
  int64_t count = 0;
  for (const IndexRange& range : RangesOf(blocks)) {
    if (slices.columns && range.extent == 1) {
      count += (slices.outer + slices.rows - 1) / slices.rows;
    } else {
      count += slices.outer * ((range.extent * slices.inner + kLongestRun - 1) / kLongestRun);
    }
  }
  return count;
}

std::vector<BlockRun> RunsOfRows(int32_t rows, int64_t width) {
  std::vector<BlockRun> runs;
  runs.reserve(rows * ((width + kLongestRun - 1) / kLongestRun));
  for (int32_t row = 0; row < rows; ++row) {
    AddContiguous(row * width, (row + 1) * width, row, &runs);
  }
  return runs;
}

std::vector<BlockRun> RunsOfRest(absl::Span<const BlockRun> runs, int64_t size, int32_t block) {
  std::vector<bool> covered(size, false);
  for (const BlockRun& run : runs) {
    for (int32_t i = 0; i < run.length; ++i) covered[run.offset + int64_t{i} * run.stride] = true;
  }
  std::vector<BlockRun> rest;
  for (int64_t begin = 0; begin < size;) {
    int64_t end = begin;
    while (end < size && !covered[end]) ++end;
    AddContiguous(begin, end, block, &rest);
    begin = end + 1;
  }
  return rest;
}

}  // namespace topiary
