#include "worker/prune/element_order.h"

#include <algorithm>

#include "common/check.h"

namespace topiary {
namespace {

// Kernels work on whole runs.
constexpr int64_t kRunLength = 1024;
// Rows and columns are often 4 KiB apart, where no more lines than a cache has ways stay in it.
constexpr int64_t kTile = 8;

// Calls visit(row, col) for each element of a matrix, tile by tile.
template <typename Visit>
void VisitTiles(int64_t rows, int64_t cols, Visit visit) {
  for (int64_t col0 = 0; col0 < cols; col0 += kTile) {
    for (int64_t row0 = 0; row0 < rows; row0 += kTile) {
      for (int64_t col = col0; col < std::min(cols, col0 + kTile); ++col) {
        for (int64_t row = row0; row < std::min(rows, row0 + kTile); ++row) visit(row, col);
      }
    }
  }
}

// Calls copy(block, place) for each element.
template <typename Copy>
void ForEachElement(const PrunableLayer& layer, Copy copy) {
  for (int64_t group = 0; group < layer.groups; ++group) {
    for (int64_t spatial = 0; spatial < layer.rows; spatial += layer.in_extent) {
      const int64_t block = (group * layer.rows + spatial) * layer.cols;
      const int64_t place = layer.Offset(group, spatial, 0);
      VisitTiles(layer.in_extent, layer.cols, [&](int64_t row, int64_t col) {
        copy(block + row * layer.cols + col,
             place + row * layer.in_stride + col * layer.col_stride);
      });
    }
  }
}

void CheckSizes(const PrunableLayer& layer, size_t a, size_t b) {
  CHECK_EQ(static_cast<int64_t>(a), layer.element_count());
  CHECK_EQ(a, b);
}

}  // namespace

bool ElementsAreReordered(const BlockPartition& partition) {
  const PrunableLayer& layer = partition.layer();
  return partition.block().rows == 1 && partition.block().cols == 1 &&
         layer.in_stride <= layer.col_stride;
}

std::shared_ptr<const BlockRuns> RunsOfElements(int64_t size) {
  auto runs = std::make_shared<BlockRuns>();
  runs->block_count = size;
  for (int64_t offset = 0; offset < size; offset += kRunLength) {
    runs->runs.push_back({offset, static_cast<int32_t>(std::min(kRunLength, size - offset)), 1,
                          static_cast<int32_t>(offset), 1});
  }
  return runs;
}

void CopyToStoredOrder(const PrunableLayer& layer, absl::Span<const float> by_block,
                       absl::Span<float> stored) {
  CheckSizes(layer, by_block.size(), stored.size());
  ForEachElement(layer, [&](int64_t block, int64_t place) { stored[place] = by_block[block]; });
}

void CopyToBlockOrder(const PrunableLayer& layer, absl::Span<const float> stored,
                      absl::Span<float> by_block) {
  CheckSizes(layer, stored.size(), by_block.size());
  ForEachElement(layer, [&](int64_t block, int64_t place) { by_block[block] = stored[place]; });
}

}  // namespace topiary
