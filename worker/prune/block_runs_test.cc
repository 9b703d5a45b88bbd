#include "worker/prune/block_runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

namespace topiary {
namespace {

// The block of each element; -1 where it is in none.
std::vector<int> BlocksOf(const std::vector<BlockRun>& runs, int64_t size) {
  std::vector<int> blocks(size, -1);
  for (const BlockRun& run : runs) {
    for (int32_t i = 0; i < run.length; ++i) {
      int& block = blocks.at(run.offset + int64_t{i} * run.stride);
      EXPECT_EQ(block, -1) << "an element is in two runs";
      block = run.block;
    }
  }
  return blocks;
}

void ExpectSorted(const std::vector<BlockRun>& runs) {
  for (size_t i = 1; i < runs.size(); ++i) EXPECT_LT(runs[i - 1].offset, runs[i].offset);
}

class Slices : public testing::TestWithParam<std::tuple<Shape, int>> {};

TEST_P(Slices, CoverTheElementsOfTheirIndices) {
  const auto& [shape, axis] = GetParam();
  const int64_t extent = shape[axis];
  std::vector<int> blocks;
  for (int64_t i = 0; i < extent; ++i) blocks.push_back(i % 5 == 3 ? -1 : static_cast<int>(i / 2));
  const std::vector<BlockRun> runs = RunsOfSlices(shape, axis, blocks);
  ExpectSorted(runs);
  EXPECT_LE(static_cast<int64_t>(runs.size()), CountRunsOfSlices(shape, axis, blocks));
  const int64_t size = shape.element_count();
  const std::vector<int> found = BlocksOf(runs, size);
  const int64_t inner = shape.Strides()[axis];
  for (int64_t i = 0; i < size; ++i) EXPECT_EQ(found[i], blocks[i / inner % extent]) << i;

  std::vector<BlockRun> all = RunsOfRest(runs, size, 99);
  ExpectSorted(all);
  for (const BlockRun& run : all) EXPECT_EQ(run.block, 99);
  all.insert(all.end(), runs.begin(), runs.end());
  const std::vector<int> covered = BlocksOf(all, size);
  for (int64_t i = 0; i < size; ++i) EXPECT_EQ(covered[i], found[i] < 0 ? 99 : found[i]) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Slices,
    testing::Values(std::make_tuple(Shape({7}), 0), std::make_tuple(Shape({6, 9}), 0),
                    std::make_tuple(Shape({6, 9}), 1), std::make_tuple(Shape({50, 9}), 1),
                    std::make_tuple(Shape({4, 6, 3, 3}), 0),
                    std::make_tuple(Shape({4, 6, 3, 3}), 1), std::make_tuple(Shape({3, 1}), 1)));

// Kernels work on pieces that no run leaves.
TEST(RunsOfSlices, ColumnsOfALongMatrixAreCutInPieces) {
  std::vector<int> blocks(8);
  for (int i = 0; i < 8; ++i) blocks[i] = i;
  const std::vector<BlockRun> runs = RunsOfSlices(Shape({10000, 8}), 1, blocks);
  for (const BlockRun& run : runs) EXPECT_LE(run.length, 256);
  EXPECT_EQ(runs.size(), 8u * 40);
}

TEST(RunsOfSlices, RowsThatFollowOneAnotherAreOneRun) {
  EXPECT_EQ(RunsOfSlices(Shape({6, 4}), 0, {0, 0, 0, 1, 1, 1}).size(), 2u);
  EXPECT_EQ(RunsOfSlices(Shape({6, 4}), 1, {0, 0, 0, 0}).size(), 1u);
}

TEST(RunsOfRows, AreThoseOfSlicesAcrossTheFirstAxis) {
  const std::vector<int> blocks = {0, 1, 2, 3, 4};
  for (const int64_t width : {1, 3, 17}) {
    const std::vector<BlockRun> slices = RunsOfSlices(Shape({5, width}), 0, blocks);
    const std::vector<BlockRun> rows = RunsOfRows(5, width);
    ASSERT_EQ(rows.size(), slices.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(rows[i].offset, slices[i].offset);
      EXPECT_EQ(rows[i].length, slices[i].length);
      EXPECT_EQ(rows[i].stride, slices[i].stride);
      EXPECT_EQ(rows[i].block, slices[i].block);
    }
  }
}

}  // namespace
}  // namespace topiary
