#include "bench/measure.h"

#include <gtest/gtest.h>

namespace topiary {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Median({7}), 7);
}

TEST(RelativeSpread, IsTheMiddleHalfOverTheMedian) {
  EXPECT_DOUBLE_EQ(RelativeSpread({10, 9, 11, 8, 12}), 0.2);
  EXPECT_EQ(RelativeSpread({5, 5, 5}), 0);
  EXPECT_EQ(RelativeSpread({5}), 0);
}

TEST(RelativeSpread, DoesNotSeeOneOutlier) { EXPECT_EQ(RelativeSpread({5, 5, 5, 5, 500}), 0); }

TEST(Compare, TakesTurnsAndMediansOfRatios) {
  std::string order;
  int pair = 0;
  const auto result = Compare(
      3,
      [&]() -> absl::StatusOr<double> {
        order += 'o';
        return 1.0 + pair;  // 1, 2, 3
      },
      [&]() -> absl::StatusOr<double> {
        order += 't';
        return 6.0 * (1 + pair++);  // 6, 12, 18: each pair is 6 times as slow.
      });
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(order, "ototot");
  EXPECT_EQ(result->ours, 2);
  EXPECT_EQ(result->theirs, 12);
  EXPECT_EQ(result->ratio, 6);
  EXPECT_EQ(result->spread, 0);
}

TEST(Compare, EndsAtTheFirstError) {
  int calls = 0;
  const auto result = Compare(
      5, []() -> absl::StatusOr<double> { return 1; },
      [&]() -> absl::StatusOr<double> {
        ++calls;
        return absl::UnavailableError("the peer has gone");
      });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 1);
}

TEST(StepsFor, IsAtLeastOne) {
  EXPECT_GE(StepsFor(0, [] {}), 1);
}

TEST(RelativeDifference, IsThatOfTheLargestNumberAndSeesNaN) {
  const float nan = std::nanf("");
  const std::vector<float> expected = {1, -4, 2};
  EXPECT_EQ(RelativeDifference(expected.data(), expected), 0);
  const std::vector<float> off = {1, -4, 3};
  EXPECT_DOUBLE_EQ(RelativeDifference(off.data(), expected), 0.25);
  const std::vector<float> lost = {nan, -4, 2};
  EXPECT_TRUE(std::isnan(RelativeDifference(lost.data(), expected)));
  EXPECT_TRUE(std::isnan(RelativeDifference(expected.data(), lost)));
}

}  // namespace
}  // namespace topiary
