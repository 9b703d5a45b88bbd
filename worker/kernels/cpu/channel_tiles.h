// Walks an activation [n, c, spatial...] in pieces that fit a core's cache and in which every
// column belongs to one channel, whatever the layout.
#ifndef TOPIARY_WORKER_KERNELS_CPU_CHANNEL_TILES_H_
#define TOPIARY_WORKER_KERNELS_CPU_CHANNEL_TILES_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/optional.h"
#include "worker/kernels/cpu/onednn_util.h"
#include "worker/kernels/cpu/simd_kernels.h"

namespace topiary {

// Tiles are numbered in the order of memory. A tile is one panel, or two in the plain layout
// of images, where a column is not a channel but every 16th pixel of one: there
// "columns" are counted 16 for each channel, so that all layouts look alike.
// Immutable; a value type.
class ChannelTiles {
 public:
  // Nothing for a layout that ChannelLayoutOf() does not know.
  static absl::optional<ChannelTiles> Of(const TensorDescription& description);

  int64_t channels() const { return channels_; }
  // Elements of one channel.
  int64_t elements_per_channel() const { return batch_ * pixels_; }
  int64_t tiles() const { return tiles_; }
  int64_t elements_per_tile() const { return tile_elements_; }
  int64_t columns() const { return groups_ * group_columns_; }
  int64_t columns_per_channel() const { return plane_ ? kPlaneColumns : 1; }
  // The most columns of a panel.
  int64_t panel_columns() const { return group_columns_; }
  // Channel of a column; -1 for one that pads.
  int64_t ChannelOf(int64_t column) const {
    const int64_t channel = plane_ ? column / kPlaneColumns : column;
    return channel < channels_ ? channel : -1;
  }

  // Calls body(panel, offset of its first element, its first column) for the panels of a tile.
  template <typename Body>
  void ForEachPanel(int64_t tile, Body body) const {
    const int64_t offset = tile * tile_elements_, column = tile % groups_ * group_columns_;
    if (!plane_) {
      const int64_t rows = std::min(tile_rows_, total_rows_ - tile / groups_ * tile_rows_);
      body(Panel{rows, group_columns_, group_columns_}, offset, column);
      return;
    }
    const int64_t rows = pixels_ / kPlaneColumns, rest = pixels_ % kPlaneColumns;
    if (rows > 0) body(Panel{rows, kPlaneColumns, kPlaneColumns}, offset, column);
    if (rest > 0) body(Panel{1, rest, rest}, offset + rows * kPlaneColumns, column);
  }

  // Tiles that hold the first image, or the first rows: a sample of every column.
  int64_t sample_tiles() const { return groups_; }

 private:
  static constexpr int64_t kPlaneColumns = 16;

  bool plane_ = false;
  int64_t channels_ = 0;
  int64_t batch_ = 0;
  int64_t pixels_ = 0;
  int64_t groups_ = 1;         // Tiles side by side that hold all columns.
  int64_t group_columns_ = 0;  // Columns of each.
  int64_t tile_rows_ = 0;
  int64_t total_rows_ = 0;  // Rows of one group in the whole tensor.
  int64_t tile_elements_ = 0;
  int64_t tiles_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_CHANNEL_TILES_H_
