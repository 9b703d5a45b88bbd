#include "worker/prune/schedule.h"

#include <gtest/gtest.h>

namespace topiary {
namespace {

struct Point {
  double t;
  double fraction;
};

class ExponentialSparsityAt : public testing::TestWithParam<Point> {};

// The fractions of the final sparsity that the curve with c = 4 reaches.
TEST_P(ExponentialSparsityAt, ReachesThePublishedFraction) {
  EXPECT_NEAR(ExponentialSparsity(1.0, 4.0, GetParam().t), GetParam().fraction, 0.005);
}

INSTANTIATE_TEST_SUITE_P(CIsFour, ExponentialSparsityAt,
                         testing::Values(Point{.1, .34}, Point{.25, .64}, Point{.5, .88},
                                         Point{.75, .97}, Point{.9, .99}));

TEST(ExponentialSparsity, StartsAtZeroAndEndsExactlyAtTheFinalSparsity) {
  for (const double c : {0.0, 0.5, 2.0, 4.0, 8.0}) {
    EXPECT_EQ(ExponentialSparsity(0.9, c, 0.0), 0.0) << c;
    EXPECT_EQ(ExponentialSparsity(0.9, c, 1.0), 0.9) << c;
  }
}

TEST(ExponentialSparsity, IsMonotone) {
  double last = -1;
  for (int i = 0; i <= 1000; ++i) {
    const double now = ExponentialSparsity(0.95, 4.0, i / 1000.0);
    EXPECT_GE(now, last);
    last = now;
  }
}

TEST(ExponentialSparsity, TendsToTheStraightLineAsCVanishes) {
  for (const double t : {0.1, 0.5, 0.8}) {
    EXPECT_NEAR(ExponentialSparsity(0.8, 1e-6, t), 0.8 * t, 1e-6);
    EXPECT_DOUBLE_EQ(ExponentialSparsity(0.8, 0.0, t), 0.8 * t);
  }
}

TEST(ExponentialSparsity, ClampsProgressOutsideTheUnitInterval) {
  EXPECT_EQ(ExponentialSparsity(0.9, 4.0, -1.0), 0.0);
  EXPECT_EQ(ExponentialSparsity(0.9, 4.0, 2.0), 0.9);
}

TEST(CubicSparsity, StartsAtTheInitialAndEndsAtTheFinalSparsity) {
  EXPECT_DOUBLE_EQ(CubicSparsity(0.05, 0.9, 0.0), 0.05);
  EXPECT_DOUBLE_EQ(CubicSparsity(0.05, 0.9, 1.0), 0.9);
}

TEST(CubicSparsity, IsSevenEighthsOfTheWayAtHalfTime) {
  EXPECT_DOUBLE_EQ(CubicSparsity(0.0, 0.8, 0.5), 0.8 * 7 / 8);
}

TEST(CubicSparsity, IsMonotoneAndClampsProgress) {
  double last = -1;
  for (int i = -10; i <= 110; ++i) {
    const double now = CubicSparsity(0.0, 0.95, i / 100.0);
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_DOUBLE_EQ(last, 0.95);
}

TEST(IterativeSparsity, EachRoundLeavesTheSamePartOfWhatItFound) {
  // 0.5 of 1, of 0.5 and of 0.25: three rounds to 0.125.
  const double fractions[] = {0.5, 0.75, 0.875};
  for (int step = 0; step < 30; ++step) {
    EXPECT_NEAR(IterativeSparsity(0.875, 3, (step + 1) / 30.0), fractions[step / 10], 1e-12)
        << step;
  }
}

TEST(IterativeSparsity, StartsAtZeroAndEndsExactlyAtTheFinalSparsity) {
  EXPECT_EQ(IterativeSparsity(0.9, 7, 0), 0);
  EXPECT_EQ(IterativeSparsity(0.9, 7, 1), 0.9);
  EXPECT_EQ(IterativeSparsity(0.9, 1, 0.01), 0.9);
}

}  // namespace
}  // namespace topiary
