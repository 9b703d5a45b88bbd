#include "worker/kernels/block_sparse_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// 5 x 7 in blocks of 2 x 3: 3 x 3 blocks, the last ones 1 high and 1 wide.
absl::StatusOr<BlockSparsePattern> Ragged() {
  return BlockSparsePattern::Create(5, 7, 2, 3, {1, 0, 1, 0, 0, 0, 0, 1, 1});
}

TEST(BlockSparsePattern, ListsKeptBlocksByRow) {
  ASSERT_OK_AND_ASSIGN(const BlockSparsePattern pattern, Ragged());
  EXPECT_THAT(pattern.crow_indices, ElementsAre(0, 2, 2, 4));
  EXPECT_THAT(pattern.col_indices, ElementsAre(0, 2, 1, 2));
  EXPECT_EQ(pattern.kept_blocks(), 4);
  EXPECT_EQ(pattern.kept_elements(), 2 * 3 + 2 * 1 + 1 * 3 + 1 * 1);
}

TEST(BlockSparsePattern, KnowsTheBlockOfAnElement) {
  ASSERT_OK_AND_ASSIGN(const BlockSparsePattern pattern, Ragged());
  EXPECT_TRUE(pattern.Keeps(1, 2));
  EXPECT_FALSE(pattern.Keeps(1, 3));
  EXPECT_FALSE(pattern.Keeps(2, 0));
  EXPECT_TRUE(pattern.Keeps(4, 6));
}

TEST(BlockSparsePattern, TransposesWithTheEdges) {
  ASSERT_OK_AND_ASSIGN(const BlockSparsePattern pattern, Ragged());
  const BlockSparsePattern transposed = pattern.Transposed();
  EXPECT_EQ(transposed.rows, 7);
  EXPECT_EQ(transposed.cols, 5);
  EXPECT_THAT(transposed.crow_indices, ElementsAre(0, 1, 2, 4));
  EXPECT_THAT(transposed.col_indices, ElementsAre(0, 2, 0, 2));
  EXPECT_EQ(transposed.RowsOf(2), 1);
  EXPECT_EQ(transposed.ColsOf(2), 1);
  EXPECT_EQ(transposed.kept_elements(), pattern.kept_elements());
}

// Two matrices of 3 x 4 in blocks of 2 x 2: 2 x 2 blocks each, the lower ones 1 high.
TEST(BlockSparsePattern, NumbersTheBlockRowsOfGroupsThrough) {
  ASSERT_OK_AND_ASSIGN(const BlockSparsePattern pattern,
                       BlockSparsePattern::Create(3, 4, 2, 2, {1, 0, 0, 1, 1, 1, 0, 0}, 2));
  EXPECT_THAT(pattern.crow_indices, ElementsAre(0, 1, 2, 4, 4));
  EXPECT_THAT(pattern.col_indices, ElementsAre(0, 1, 0, 1));
  EXPECT_EQ(pattern.elements(), 24);
  EXPECT_EQ(pattern.kept_elements(), 4 + 2 + 4 + 4);
  EXPECT_EQ(pattern.GroupOf(3), 1);
  EXPECT_EQ(pattern.RowOf(3), 2);
  EXPECT_EQ(pattern.RowsOf(3), 1);
  EXPECT_FALSE(pattern.Keeps(0, 2, 0));
  EXPECT_TRUE(pattern.Keeps(0, 2, 1));
  const BlockSparsePattern transposed = pattern.Transposed();
  EXPECT_EQ(transposed.groups, 2);
  EXPECT_THAT(transposed.crow_indices, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(transposed.col_indices, ElementsAre(0, 1, 0, 0));
  EXPECT_EQ(transposed.Transposed().crow_indices, pattern.crow_indices);
  EXPECT_EQ(transposed.Transposed().col_indices, pattern.col_indices);
}

TEST(BlockSparsePattern, CutsBlocksToTheMatrix) {
  ASSERT_OK_AND_ASSIGN(const BlockSparsePattern pattern,
                       BlockSparsePattern::Create(3, 2, 64, 64, {1}));
  EXPECT_EQ(pattern.block_rows, 3);
  EXPECT_EQ(pattern.block_cols, 2);
  EXPECT_EQ(pattern.kept_elements(), 6);
}

TEST(BlockSparsePattern, RefusesWhatIsNoPattern) {
  EXPECT_THAT(BlockSparsePattern::Create(4, 4, 0, 2, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 x 2")));
  EXPECT_THAT(BlockSparsePattern::Create(4, 4, 2, 2, {}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 matrices")));
  EXPECT_THAT(BlockSparsePattern::Create(1 << 10, 1 << 10, 1, 1, {}, int64_t{1} << 40),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 2^31")));
  EXPECT_THAT(BlockSparsePattern::Create(4, 4, 2, 2, {1, 1, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 x 2 blocks")));
  EXPECT_THAT(BlockSparsePattern::Create(int64_t{1} << 20, int64_t{1} << 20, 1, 1, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 2^31")));
}

}  // namespace
}  // namespace topiary
