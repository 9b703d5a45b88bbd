#include "worker/tensor/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(Shape, AScalarHasOneElementAndNoStrides) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.element_count(), 1);
  EXPECT_TRUE(scalar.Strides().empty());
  EXPECT_EQ(scalar.ToString(), "[]");
}

TEST(Shape, StridesAreRowMajor) {
  EXPECT_THAT(Shape({2, 3, 4}).Strides(), ElementsAre(12, 4, 1));
  EXPECT_EQ(Shape({2, 3, 4}).ToString(), "[2,3,4]");
}

TEST(Shape, AnEmptyAxisMakesATensorEmptyButHidesNoOverflow) {
  EXPECT_THAT(Shape({int64_t{1} << 62, 0}).CheckedElementCount(), IsOkAndHolds(0));
  EXPECT_THAT(Shape({int64_t{1} << 62, 0, int64_t{1} << 62}).CheckedElementCount(),
              StatusIs(kInvalid));
}

TEST(Shape, AProductThatOverflowsIsRefused) {
  EXPECT_THAT(Shape({int64_t{1} << 32, int64_t{1} << 32}).CheckedElementCount(),
              StatusIs(kInvalid, HasSubstr("[4294967296,4294967296]")));
}

TEST(Shape, ALimitIsInclusive) {
  EXPECT_THAT(Shape({2, 5}).CheckedElementCount(10), IsOkAndHolds(10));
  EXPECT_THAT(Shape({2, 5}).CheckedElementCount(9), StatusIs(kInvalid));
}

TEST(Shape, ANegativeExtentIsRefused) {
  EXPECT_THAT(Shape({2, -1}).CheckedElementCount(), StatusIs(kInvalid, HasSubstr("negative")));
}

struct BroadcastCase {
  Shape a;
  Shape b;
  Shape joint;
};

class Broadcasts : public testing::TestWithParam<BroadcastCase> {};

TEST_P(Broadcasts, AreTheSameInBothDirections) {
  const BroadcastCase& c = GetParam();
  EXPECT_THAT(BroadcastShapes(c.a, c.b), IsOkAndHolds(c.joint));
  EXPECT_THAT(BroadcastShapes(c.b, c.a), IsOkAndHolds(c.joint));
}

INSTANTIATE_TEST_SUITE_P(Shape, Broadcasts,
                         testing::Values(BroadcastCase{{2, 3}, {2, 3}, {2, 3}},
                                         BroadcastCase{{2, 3}, {3}, {2, 3}},
                                         BroadcastCase{{2, 3}, {}, {2, 3}},
                                         BroadcastCase{{2, 1}, {1, 3}, {2, 3}},
                                         BroadcastCase{{4, 1, 5}, {3, 1}, {4, 3, 5}},
                                         BroadcastCase{{0, 3}, {1, 3}, {0, 3}}));

TEST(Shape, ShapesThatDoNotBroadcastAreBothNamed) {
  EXPECT_THAT(BroadcastShapes({2, 3}, {2}),
              StatusIs(kInvalid, AllOf(HasSubstr("[2,3]"), HasSubstr("[2]"))));
}

TEST(Shape, BroadcastStridesAreZeroAlongStretchedAxes) {
  EXPECT_THAT(BroadcastStrides({3, 1}, {4, 3, 5}), ElementsAre(0, 1, 0));
  EXPECT_THAT(BroadcastStrides({4, 3, 5}, {4, 3, 5}), ElementsAre(15, 5, 1));
}

}  // namespace
}  // namespace topiary
