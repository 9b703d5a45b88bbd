#include "worker/kernels/blocksparse/block_strips.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace topiary {
namespace {

// Floats of a tile of the outputs' panel: they stay in a core's first cache while all inputs pass.
constexpr int64_t kTileFloats = 6144;

// The longest strip that `depth` inputs begin with.
int64_t StripDepth(int64_t depth, int64_t most) {
  while (most > depth) most /= 2;
  return most;
}

}  // namespace

BlockStrips::BlockStrips(const BlockKernels& kernels, BlockColumns* columns) {
  const int64_t tile_columns = std::max<int64_t>(1, kTileFloats / (kMaxPanelUnits * kernels.lanes));
  for (int64_t begin = 0; begin < columns->size(); begin += tile_columns) {
    const int64_t end = std::min(begin + tile_columns, columns->size());
    // What the columns of the tile have of the same inputs side by side.
    const int64_t first_term = columns->first_term(begin);
    std::vector<int64_t> order(columns->first_term(end) - first_term), column_of(order.size());
    std::iota(order.begin(), order.end(), first_term);
    for (int64_t j = begin; j < end; ++j) {
      std::fill(column_of.begin() + (columns->first_term(j) - first_term),
                column_of.begin() + (columns->first_term(j + 1) - first_term), j);
    }
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      const BlockTerm &x = columns->term(a), &y = columns->term(b);
      return std::tie(x.input, x.depth) < std::tie(y.input, y.depth);
    });
    columns->PlaceInOrder(first_term, order);
    const auto first_strip = static_cast<int64_t>(strips_.size());
    for (size_t i = 0; i < order.size();) {
      const BlockTerm& first = columns->term(order[i]);
      BlockStrip strip;
      strip.first_output = static_cast<int64_t>(outputs_.size());
      strip.stride = first.depth;
      for (; i < order.size(); ++i, ++strip.count) {
        const BlockTerm& term = columns->term(order[i]);
        if (term.input != first.input || term.depth != first.depth) break;
        outputs_.push_back(static_cast<int32_t>(columns->output(column_of[order[i] - first_term])));
      }
      for (int64_t k = 0; k < first.depth; k += strip.depth) {
        strip.input = first.input + k;
        strip.weights = first.weights + k;
        strip.depth = StripDepth(first.depth - k, kernels.strip_depth);
        strips_.push_back(strip);
      }
    }
    tiles_.push_back(
        {columns->output(begin), end - begin, first_strip, static_cast<int64_t>(strips_.size())});
  }
}

BlockTile BlockStrips::At(int64_t j, const float* bias, bool relu) const {
  const Tile& tile = tiles_[j];
  BlockTile result;
  result.strips = strips_.data() + tile.first_strip;
  result.strip_count = tile.end_strip - tile.first_strip;
  result.outputs = outputs_.data();
  result.output = tile.output;
  result.width = tile.width;
  result.bias = bias == nullptr ? nullptr : bias + tile.output;
  result.relu = relu;
  return result;
}

}  // namespace topiary
