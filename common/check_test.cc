#include "common/check.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace topiary {
namespace {

enum class Color { kRed = 7 };

TEST(Check, PassesSilentlyAndEvaluatesOperandsOnce) {
  int calls = 0;
  CHECK(++calls > 0) << "not reached";
  CHECK_EQ(++calls, 2);
  CHECK_OK((++calls, absl::OkStatus()));
  EXPECT_EQ(calls, 3);
}

TEST(Check, IsOneStatementInAnIfWithoutBraces) {
  bool reached = false;
  if (false)
    CHECK_EQ(1, 2);
  else
    reached = true;
  EXPECT_TRUE(reached);
}

TEST(CheckDeathTest, SaysConditionPlaceAndMessage) {
  EXPECT_DEATH(CHECK(1 > 2) << "rows " << 5, "check_test.cc:.*1 > 2.*rows 5");
}

TEST(CheckDeathTest, ComparisonsPrintBothValues) {
  const std::string a = "left";
  EXPECT_DEATH(CHECK_EQ(a, "right"), "left vs. right");
  EXPECT_DEATH(CHECK_LT(3, 2), "3 vs. 2");
  EXPECT_DEATH(CHECK_NE(Color::kRed, Color::kRed), "7 vs. 7");
}

TEST(CheckDeathTest, AnErrorStatusIsPrinted) {
  EXPECT_DEATH(CHECK_OK(absl::NotFoundError("no plan")), "NOT_FOUND: no plan");
}

TEST(Check, IntegersOfDifferentSignsCompareByValue) {
  CHECK_LT(-1, uint64_t{0});
  CHECK_GT(std::numeric_limits<uint64_t>::max(), -1);
  CHECK_NE(-1, std::numeric_limits<uint32_t>::max());
  CHECK_EQ(int64_t{5}, 5u);
  CHECK_GE(0u, std::numeric_limits<int8_t>::min());
  CHECK_LE(std::numeric_limits<int64_t>::min(), uint8_t{0});
}

}  // namespace
}  // namespace topiary
