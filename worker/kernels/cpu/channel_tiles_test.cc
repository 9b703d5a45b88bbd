#include "worker/kernels/cpu/channel_tiles.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace topiary {
namespace {

TensorDescription Plain(const Shape& shape) { return {shape, DType::kFloat32, Layout::Plain()}; }

TensorDescription Blocked(const Shape& shape, int64_t block) {
  return DescribedBy(shape, DType::kFloat32, ChannelBlockedDesc(shape, block));
}

TensorDescription ChannelsLast(const Shape& shape) {
  const dnnl::memory::desc desc(DimsOf(shape), dnnl::memory::data_type::f32,
                                dnnl::memory::format_tag::nhwc);
  return DescribedBy(shape, DType::kFloat32, desc);
}

struct TilesCase {
  std::string name;
  TensorDescription description;
};

// Each stored element's channel, found from its offset in memory.
int64_t ChannelAt(const TensorDescription& d, int64_t offset) {
  const ChannelLayout layout = *ChannelLayoutOf(d);
  const int64_t channels = d.shape[1], pixels = d.shape.element_count() / d.shape[0] / channels;
  switch (layout.kind) {
    case ChannelLayout::Kind::kLast:
      return offset % channels;
    case ChannelLayout::Kind::kBlocked: {
      const int64_t groups = (channels + layout.block - 1) / layout.block;
      const int64_t group = offset / (pixels * layout.block) % groups;
      const int64_t channel = group * layout.block + offset % layout.block;
      return channel < channels ? channel : -1;
    }
    default:
      return offset / pixels % channels;
  }
}

class ChannelTilesTest : public testing::TestWithParam<TilesCase> {};

TEST_P(ChannelTilesTest, EveryElementIsInOnePanelUnderItsChannel) {
  const TensorDescription& d = GetParam().description;
  const auto tiles = ChannelTiles::Of(d);
  ASSERT_TRUE(tiles.has_value());
  std::vector<int> visits(StoredElements(d), 0);
  for (int64_t tile = 0; tile < tiles->tiles(); ++tile) {
    tiles->ForEachPanel(tile, [&](const Panel& panel, int64_t offset, int64_t column) {
      ASSERT_LE(column + panel.width, tiles->columns());
      ASSERT_LE(panel.width, tiles->panel_columns());
      for (int64_t row = 0; row < panel.rows; ++row) {
        for (int64_t c = 0; c < panel.width; ++c) {
          const int64_t at = offset + row * panel.stride + c;
          ++visits[at];
          EXPECT_EQ(tiles->ChannelOf(column + c), ChannelAt(d, at)) << "at " << at;
        }
      }
    });
  }
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

TEST_P(ChannelTilesTest, TheSampleHasEveryColumn) {
  const auto tiles = ChannelTiles::Of(GetParam().description);
  std::vector<bool> seen(tiles->channels(), false);
  for (int64_t tile = 0; tile < tiles->sample_tiles(); ++tile) {
    tiles->ForEachPanel(tile, [&](const Panel& panel, int64_t, int64_t column) {
      for (int64_t c = column; c < column + panel.width; ++c) {
        if (tiles->ChannelOf(c) >= 0) seen[tiles->ChannelOf(c)] = true;
      }
    });
  }
  EXPECT_EQ(seen, std::vector<bool>(seen.size(), true));
}

INSTANTIATE_TEST_SUITE_P(Layouts, ChannelTilesTest,
                         testing::Values(TilesCase{"Blocks16", Blocked({2, 32, 3, 5}, 16)},
                                         TilesCase{"Blocks8", Blocked({3, 8, 4, 4}, 8)},
                                         TilesCase{"PaddedBlocks", Blocked({2, 19, 3, 3}, 16)},
                                         TilesCase{"OneSpatialAxis", Blocked({2, 16, 7}, 16)},
                                         TilesCase{"PlainImages", Plain({2, 3, 5, 7})},
                                         TilesCase{"SmallPlainImages", Plain({4, 6, 2, 2})},
                                         TilesCase{"FeatureRows", Plain({300, 70})},
                                         TilesCase{"SinglePixels", Plain({5, 20, 1, 1})},
                                         TilesCase{"ChannelsLast", ChannelsLast({2, 24, 9, 11})}),
                         [](const auto& info) { return info.param.name; });

TEST(ChannelLayoutOf, BlocksOfSinglePixelsArePlain) {
  EXPECT_TRUE(Blocked({4, 32, 1, 1}, 16).layout.is_plain());
  EXPECT_FALSE(Blocked({4, 31, 1, 1}, 16).layout.is_plain());
}

TEST(ChannelTiles, AnyLayoutHasNone) {
  EXPECT_FALSE(ChannelTiles::Of({{2, 3, 4, 4}, DType::kFloat32, Layout::Any()}).has_value());
}

}  // namespace
}  // namespace topiary
