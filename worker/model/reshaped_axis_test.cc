#include "worker/model/reshaped_axis.h"

#include <gtest/gtest.h>

namespace topiary {
namespace {

using Place = absl::optional<ReshapedAxis>;

void ExpectPlace(const Place& place, int axis, int64_t src_per_dst, int64_t dst_per_src,
                 int64_t repeats) {
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->axis, axis);
  EXPECT_EQ(place->src_per_dst, src_per_dst);
  EXPECT_EQ(place->dst_per_src, dst_per_src);
  EXPECT_EQ(place->repeats, repeats);
}

TEST(ReshapedAxis, SplitsIntoHeads) {
  ExpectPlace(FindReshapedAxis({2, 5, 12}, 2, {2, 5, 3, 4}, 0), 2, 4, 1, 1);
  ExpectPlace(FindReshapedAxis({10, 12}, 1, {2, 5, 3, 4}, 0), 2, 4, 1, 1);
}

TEST(ReshapedAxis, TheFirstOfSeveralPartsMayBeSkipped) {
  ExpectPlace(FindReshapedAxis({2, 5, 36}, 2, {2, 5, 3, 3, 4}, 0), 2, 12, 1, 1);
  ExpectPlace(FindReshapedAxis({2, 5, 36}, 2, {2, 5, 3, 3, 4}, 1), 3, 4, 1, 3);
  EXPECT_FALSE(FindReshapedAxis({2, 5, 36}, 2, {2, 5, 3, 3, 4}, 3).has_value());
}

TEST(ReshapedAxis, TakesTheAxesThatFollow) {
  ExpectPlace(FindReshapedAxis({2, 5, 3, 4}, 2, {2, 5, 12}, 0), 2, 1, 4, 1);
  ExpectPlace(FindReshapedAxis({2, 6, 2, 2}, 1, {2, 24}, 0), 1, 1, 4, 1);
}

TEST(ReshapedAxis, StaysWhereItIs) {
  ExpectPlace(FindReshapedAxis({2, 5, 12}, 2, {10, 12}, 0), 1, 1, 1, 1);
  ExpectPlace(FindReshapedAxis({2, 6, 2, 2}, 1, {2, 6, 4}, 0), 1, 1, 1, 1);
}

TEST(ReshapedAxis, AxesOfOneCountAsBefore) {
  ExpectPlace(FindReshapedAxis({2, 6}, 1, {2, 1, 6}, 0), 2, 1, 1, 1);
}

TEST(ReshapedAxis, WhatIsTornApartIsNowhere) {
  EXPECT_FALSE(FindReshapedAxis({2, 6}, 1, {4, 3}, 0).has_value());
  EXPECT_FALSE(FindReshapedAxis({2, 3, 4, 2}, 2, {2, 24}, 0).has_value());
  EXPECT_FALSE(FindReshapedAxis({2, 6, 2}, 1, {2, 4, 3}, 0).has_value());
  EXPECT_FALSE(FindReshapedAxis({0, 6}, 1, {0, 3, 2}, 0).has_value());
}

TEST(ReshapedAxis, ABlockGrowsUntilBothSidesMatch) {
  const auto block = FindReshapedBlock({2, 3, 4, 5}, 2, 3, {2, 6, 2, 5});
  ASSERT_TRUE(block.has_value());
  EXPECT_EQ(block->src_begin, 1);
  EXPECT_EQ(block->src_end, 3);
  EXPECT_EQ(block->dst_begin, 1);
  EXPECT_EQ(block->dst_end, 3);
  EXPECT_FALSE(FindReshapedBlock({2, 3}, 1, 2, {2, 4}).has_value());
}

// As the rows of a table for several fields, laid beside one another.
TEST(FindReshapedAxis, TheLastPartOfAnAxisComesSeveralTimes) {
  const auto place = FindReshapedAxis({2, 3, 4}, 2, {2, 12}, 0);
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->axis, 1);
  EXPECT_EQ(place->copies, 3);
  EXPECT_EQ(place->src_per_dst, 1);
  EXPECT_EQ(place->dst_per_src, 1);
  EXPECT_FALSE(FindReshapedAxis({2, 3, 4}, 2, {2, 12}, 1).has_value());
}

}  // namespace
}  // namespace topiary
