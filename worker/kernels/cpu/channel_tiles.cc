#include "worker/kernels/cpu/channel_tiles.h"

namespace topiary {
namespace {

// A tile of rows holds about this many elements: 32 KiB.
constexpr int64_t kTileElements = 8192;

}  // namespace

absl::optional<ChannelTiles> ChannelTiles::Of(const TensorDescription& description) {
  const absl::optional<ChannelLayout> layout = ChannelLayoutOf(description);
  if (!layout) return absl::nullopt;
  const Shape& shape = description.shape;
  ChannelTiles t;
  t.batch_ = shape[0];
  t.channels_ = shape[1];
  t.pixels_ = 1;
  for (int axis = 2; axis < shape.rank(); ++axis) t.pixels_ *= shape[axis];
  const bool rows_of_channels = layout->kind == ChannelLayout::Kind::kLast || t.pixels_ == 1;
  if (layout->kind == ChannelLayout::Kind::kBlocked) {
    t.group_columns_ = layout->block;
    t.groups_ = (t.channels_ + layout->block - 1) / layout->block;
    t.tile_rows_ = t.pixels_;
    t.total_rows_ = t.batch_ * t.pixels_;
  } else if (rows_of_channels) {
    t.group_columns_ = t.channels_;
    t.total_rows_ = t.batch_ * t.pixels_;
    t.tile_rows_ = std::max<int64_t>(1, kTileElements / std::max<int64_t>(1, t.channels_));
  } else {
    t.plane_ = true;
    t.group_columns_ = kPlaneColumns;
    t.groups_ = t.channels_;
    t.tile_elements_ = t.pixels_;
    t.tiles_ = t.batch_ * t.channels_;
    return t;
  }
  t.tile_elements_ = t.tile_rows_ * t.group_columns_;
  t.tiles_ = (t.total_rows_ + t.tile_rows_ - 1) / t.tile_rows_ * t.groups_;
  return t;
}

}  // namespace topiary
