#include "bench/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topiary {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ToSvg, DrawsPowersAsStraightLines) {
  const std::string svg = ToSvg({{"a < b", "x", {{"y", {1, 10, 100}, {1, 100, 10000}}}}});
  EXPECT_THAT(svg, testing::StartsWith("<svg "));
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  // The margins of a panel of 440 x 320, and halfway between them.
  EXPECT_THAT(svg, HasSubstr("points=\"56.0,272.0 236.0,156.0 416.0,40.0 \""));
  EXPECT_THAT(svg, HasSubstr(">10 k<"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(ToSvg, APanelOfOnePointOrNoneIsDrawnToo) {
  const std::string svg = ToSvg({{"one", "x", {{"y", {3}, {7}}}}, {"none", "x", {}}});
  EXPECT_THAT(svg, HasSubstr("one"));
  EXPECT_THAT(svg, HasSubstr("none"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace topiary
