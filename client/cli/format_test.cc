#include "client/cli/format.h"

#include <limits>

#include "gtest/gtest.h"

namespace topiary {
namespace {

TEST(Format, BytesUseTheLargestUnitThatKeepsThemShort) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{12} << 20), "12.0 MiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<int64_t>::max()), "8.0 EiB");
}

TEST(Format, DurationsGrowFromMinutesToDays) {
  EXPECT_EQ(FormatElapsed(absl::Seconds(7)), "0:07");
  EXPECT_EQ(FormatElapsed(absl::Seconds(754)), "12:34");
  EXPECT_EQ(FormatElapsed(absl::Seconds(3723)), "1:02:03");
  EXPECT_EQ(FormatElapsed(absl::Hours(51) + absl::Seconds(245)), "2d 3:04:05");
}

TEST(Format, UnknownDurationsAreADash) {
  EXPECT_EQ(FormatElapsed(absl::InfiniteDuration()), "-");
  EXPECT_EQ(FormatElapsed(-absl::Seconds(1)), "-");
}

TEST(Format, RatiosAndNumbersThatAreNoneAreADash) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(FormatPercent(0.9134), "91.34 %");
  EXPECT_EQ(FormatPercent(nan), "-");
  EXPECT_EQ(FormatNumber(0.25), "0.25");
  EXPECT_EQ(FormatNumber(nan), "-");
}

TEST(Format, CountsAreGroupedByThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1,000");
  EXPECT_EQ(FormatCount(-12345678), "-12,345,678");
}

TEST(Format, WidthCountsCodePointsNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("\xC3\xA9t\xC3\xA9"), 3);
  EXPECT_EQ(DisplayWidth("\xE2\x96\x88"), 1);
}

TEST(Format, EscapeSequencesFromOthersCannotReachTheTerminal) {
  EXPECT_EQ(Printable("\x1B[2Jname\x07"), "?[2Jname?");
  EXPECT_EQ(Printable("one\ntwo"), "one?two");
  EXPECT_EQ(Printable("one\ntwo\r", true), "one\ntwo?");
}

}  // namespace
}  // namespace topiary
