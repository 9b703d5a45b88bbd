#include "worker/prune/block_partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "common/status_matchers.h"

namespace topiary {
namespace {

// A [rows][cols] matrix, or [cols][rows] if transposed, as Gemm stores them.
PrunableLayer Matrix(int64_t rows, int64_t cols, bool transposed) {
  PrunableLayer layer;
  layer.weight = "w";
  layer.shape = transposed ? Shape({cols, rows}) : Shape({rows, cols});
  layer.rows = rows;
  layer.cols = cols;
  layer.transposed = transposed;
  layer.in_extent = rows;
  layer.group_stride = rows * cols;
  layer.in_stride = transposed ? 1 : cols;
  layer.col_stride = transposed ? rows : 1;
  return layer;
}

// A kernel [out][in / groups][kh][kw].
PrunableLayer Conv(int64_t out, int64_t in, int64_t kh, int64_t kw, int64_t groups) {
  PrunableLayer layer;
  layer.weight = "k";
  layer.kind = LayerKind::kConv;
  layer.shape = Shape({out, in / groups, kh, kw});
  layer.groups = groups;
  layer.in_extent = in / groups;
  layer.rows = kh * kw * layer.in_extent;
  layer.cols = out / groups;
  layer.transposed = true;
  layer.spatial_stride = 1;
  layer.in_stride = kh * kw;
  layer.col_stride = layer.rows;
  layer.group_stride = layer.cols * layer.rows;
  return layer;
}

// Block of every element of the stored tensor, from the runs; -1 where no run covers it. A second
// run over an element is a failure.
std::vector<int> BlockOfElements(const BlockPartition& partition) {
  std::vector<int> blocks(partition.layer().element_count(), -1);
  for (const BlockRun& run : partition.runs()->runs) {
    for (int i = 0; i < run.length; ++i) {
      int& block = blocks.at(run.At(i));
      EXPECT_EQ(block, -1) << "covered twice";
      block = static_cast<int>(run.BlockOf(i));
    }
  }
  return blocks;
}

struct Case {
  std::string name;
  PrunableLayer layer;
  BlockShape block;
  int64_t expected_count;
};

class BlockPartitionOf : public testing::TestWithParam<Case> {};

TEST_P(BlockPartitionOf, PutsEachElementInTheBlockOfItsRowAndColumn) {
  const Case& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition, BlockPartition::Create(c.layer, c.block));
  EXPECT_EQ(partition.block_count(), c.expected_count);
  const std::vector<int> blocks = BlockOfElements(partition);
  for (int64_t group = 0; group < c.layer.groups; ++group) {
    for (int64_t row = 0; row < c.layer.rows; ++row) {
      for (int64_t col = 0; col < c.layer.cols; ++col) {
        const int64_t expected =
            (group * partition.block_rows() + row / c.block.rows) * partition.block_cols() +
            col / c.block.cols;
        ASSERT_EQ(blocks[c.layer.Offset(group, row, col)], expected)
            << "group " << group << " row " << row << " col " << col;
      }
    }
  }
}

TEST_P(BlockPartitionOf, HasSortedRunsAndPositionsThatAddUpToAllElements) {
  const Case& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition, BlockPartition::Create(c.layer, c.block));
  const std::vector<BlockRun>& runs = partition.runs()->runs;
  for (size_t i = 1; i < runs.size(); ++i) EXPECT_LT(runs[i - 1].offset, runs[i].offset);
  int64_t elements = 0;
  for (int64_t block = 0; block < partition.block_count(); ++block) {
    EXPECT_GT(partition.ElementsIn(block), 0);
    elements += partition.ElementsIn(block);
  }
  EXPECT_EQ(elements, c.layer.element_count());
}

TEST_P(BlockPartitionOf, TakesNoMoreMemoryThanForetold) {
  const Case& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition, BlockPartition::Create(c.layer, c.block));
  const size_t runs = partition.runs()->runs.size();
  const auto foretold = static_cast<size_t>(BlockPartition::BytesToCreate(c.layer, c.block));
  EXPECT_GE(foretold, runs * sizeof(BlockRun));
  EXPECT_LE(foretold, c.layer.element_count() * sizeof(BlockRun));
  // What is joined are runs of one block, of which it may have as many as rows.
  EXPECT_LE(foretold, runs * std::min(c.block.rows, c.layer.rows) * sizeof(BlockRun));
}

TEST(BlockPartition, ForetellsTheMemoryOfRuns) {
  constexpr int64_t kRun = sizeof(BlockRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Matrix(100, 60, true), {2, 1}), 100 * 60 / 2 * kRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Matrix(101, 60, true), {2, 1}), 51 * 60 * kRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Matrix(100, 60, true), {1, 1}), 60 * kRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Matrix(100, 60, false), {1, 1}), 100 * kRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Matrix(64, 64, true), {16, 16}), 64 * 4 * kRun);
  EXPECT_EQ(BlockPartition::BytesToCreate(Conv(5, 6, 3, 2, 1), {1, 1}), 5 * 3 * 2 * kRun);
}

INSTANTIATE_TEST_SUITE_P(
    Layers, BlockPartitionOf,
    testing::Values(Case{"even", Matrix(8, 12, false), {4, 4}, 6},
                    Case{"even_transposed", Matrix(8, 12, true), {4, 4}, 6},
                    Case{"ragged_both_ways", Matrix(10, 7, false), {4, 3}, 9},
                    Case{"ragged_transposed", Matrix(10, 7, true), {4, 3}, 9},
                    Case{"criteo_first_layer", Matrix(390, 40, true), {20, 20}, 40},
                    Case{"block_larger_than_layer", Matrix(3, 2, true), {16, 16}, 1},
                    Case{"single_rows", Matrix(6, 9, true), {1, 8}, 12},
                    Case{"single_cols", Matrix(9, 6, false), {8, 1}, 12},
                    Case{"entries", Matrix(3, 5, false), {1, 1}, 15},
                    Case{"entries_transposed", Matrix(3, 5, true), {1, 1}, 15},
                    Case{"conv_entries", Conv(4, 6, 3, 2, 2), {1, 1}, 72},
                    Case{"pairs_along_inputs", Matrix(7, 5, false), {2, 1}, 20},
                    Case{"pairs_along_outputs", Matrix(5, 7, true), {1, 2}, 20},
                    Case{"conv_3x3", Conv(8, 8, 3, 3, 1), {4, 4}, 36},
                    Case{"conv_block_crosses_positions", Conv(5, 6, 3, 2, 1), {8, 2}, 15},
                    Case{"conv_1x1", Conv(8, 4, 1, 1, 1), {4, 4}, 2},
                    Case{"conv_one_row", Conv(8, 3, 3, 3, 1), {1, 8}, 27},
                    Case{"grouped_conv", Conv(6, 4, 3, 3, 2), {4, 2}, 20},
                    Case{"depthwise_conv", Conv(5, 5, 3, 3, 5), {16, 16}, 5}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(BlockPartition, NumbersBlocksByGroupThenRowThenColumn) {
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition,
                       BlockPartition::Create(Conv(6, 4, 3, 3, 2), {4, 2}));
  // Each group: 18 rows in 5 block rows, 3 columns in 2 block columns.
  EXPECT_EQ(partition.block_rows(), 5);
  EXPECT_EQ(partition.block_cols(), 2);
  const BlockPosition last = partition.Position(19);
  EXPECT_EQ(last.group, 1);
  EXPECT_EQ(last.row, 16);
  EXPECT_EQ(last.col, 2);
  EXPECT_EQ(last.rows, 2);
  EXPECT_EQ(last.cols, 1);
}

TEST(BlockPartition, UsesFarFewerRunsThanElements) {
  ASSERT_OK_AND_ASSIGN(const BlockPartition linear,
                       BlockPartition::Create(Matrix(64, 64, true), {16, 16}));
  EXPECT_EQ(linear.runs()->runs.size(), 64u * 4);
  ASSERT_OK_AND_ASSIGN(const BlockPartition conv,
                       BlockPartition::Create(Conv(32, 16, 3, 3, 1), {16, 16}));
  EXPECT_EQ(conv.runs()->runs.size(), 32u * 9);
}

// However small the blocks.
TEST(BlockPartition, HasARunForARowOfSingleElements) {
  for (const bool transposed : {false, true}) {
    ASSERT_OK_AND_ASSIGN(const BlockPartition entries,
                         BlockPartition::Create(Matrix(64, 64, transposed), {1, 1}));
    EXPECT_EQ(entries.runs()->runs.size(), 64u);
  }
  ASSERT_OK_AND_ASSIGN(const BlockPartition lines,
                       BlockPartition::Create(Matrix(64, 64, true), {1, 8}));
  EXPECT_EQ(lines.runs()->runs.size(), 64u);
  ASSERT_OK_AND_ASSIGN(const BlockPartition conv,
                       BlockPartition::Create(Conv(32, 16, 3, 3, 1), {1, 1}));
  EXPECT_EQ(conv.runs()->runs.size(), 32u * 9);
}

TEST(BlockPartition, SumsScalesAndZeroesSingleElements) {
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition,
                       BlockPartition::Create(Matrix(2, 3, true), {1, 1}));
  std::vector<float> weight = {1, 2, 3, 4, -5, 6};  // Columns (1, 2), (3, 4), (-5, 6).
  EXPECT_THAT(partition.SumsOfSquares(weight), testing::ElementsAre(1, 9, 25, 4, 16, 36));
  partition.ScaleBlocks({2, 3, 0, 1, 1, 1}, absl::MakeSpan(weight));
  EXPECT_THAT(weight, testing::ElementsAre(2, 2, 9, 4, 0, 6));
  EXPECT_FALSE(std::signbit(weight[4]));
  partition.ZeroPruned({1, 1, 1, 0, 1, 1}, absl::MakeSpan(weight));
  EXPECT_THAT(weight, testing::ElementsAre(2, 0, 9, 4, 0, 6));
}

TEST(BlockPartition, JoinsRunsThatFollowOneAnother) {
  // Blocks that are whole bands of rows of a row-major matrix are contiguous.
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition,
                       BlockPartition::Create(Matrix(8, 4, false), {2, 4}));
  EXPECT_EQ(partition.runs()->runs.size(), 4u);
}

TEST(BlockPartition, SumsSquaresPerBlock) {
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition,
                       BlockPartition::Create(Matrix(2, 4, false), {2, 2}));
  const std::vector<float> weight = {1, 2, 3, 4,  //
                                     5, 6, 7, 8};
  EXPECT_THAT(partition.SumsOfSquares(weight),
              testing::ElementsAre(1 + 4 + 25 + 36, 9 + 16 + 49 + 64));
}

TEST(BlockPartition, ScalesEachBlockByItsFactorAndLeavesPlusZeroForZero) {
  ASSERT_OK_AND_ASSIGN(const BlockPartition partition,
                       BlockPartition::Create(Matrix(2, 4, false), {2, 2}));
  std::vector<float> weight = {1, 2, -3, 4,  //
                               5, 6, -7, 8};
  partition.ScaleBlocks({2.0F, 0.0F}, absl::MakeSpan(weight));
  EXPECT_THAT(weight, testing::ElementsAre(2, 4, 0, 0, 10, 12, 0, 0));
  EXPECT_FALSE(std::signbit(weight[2]));
}

struct BadBlock {
  BlockShape block;
};

class BlockPartitionRefuses : public testing::TestWithParam<BlockShape> {};

TEST_P(BlockPartitionRefuses, EmptyBlocks) {
  EXPECT_THAT(BlockPartition::Create(Matrix(4, 4, false), GetParam()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr(">= 1")));
}

INSTANTIATE_TEST_SUITE_P(Shapes, BlockPartitionRefuses,
                         testing::Values(BlockShape{0, 4}, BlockShape{4, 0}, BlockShape{-1, 4}));

TEST(BlockPartition, RefusesAnEmptyLayer) {
  EXPECT_THAT(BlockPartition::Create(Matrix(0, 4, false), {2, 2}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("'w'")));
}

}  // namespace
}  // namespace topiary
