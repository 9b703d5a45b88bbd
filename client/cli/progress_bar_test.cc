#include "client/cli/progress_bar.h"

#include "client/cli/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProgressView HalfWay() {
  ProgressView view;
  view.phase = "sparse";
  view.step = 500;
  view.total_steps = 1000;
  view.loss = 0.3124;
  view.accuracy = 0.912;
  view.sparsity = 0.9;
  view.elapsed = absl::Seconds(35);
  view.remaining = absl::Seconds(41);
  return view;
}

TEST(ProgressBar, ShowsPhaseStepLossAccuracySparsityAndTimeLeft) {
  EXPECT_EQ(RenderProgressBar(HalfWay(), 90),
            "sparse      [#######--------]  50 %  500/1000  loss 0.312  acc 91.2 %  sp 90.0 %  "
            "ETA 0:41");
}

TEST(ProgressBar, NeverGrowsBeyondTheTerminal) {
  for (int width = 0; width <= 200; ++width) {
    EXPECT_LE(DisplayWidth(RenderProgressBar(HalfWay(), width)), width);
  }
}

TEST(ProgressBar, DropsTheLeastImportantPartsFirst) {
  const std::string narrow = RenderProgressBar(HalfWay(), 50);
  EXPECT_THAT(narrow, HasSubstr("500/1000"));
  EXPECT_THAT(narrow, Not(HasSubstr("ETA")));
}

TEST(ProgressBar, UnknownValuesAreLeftOut) {
  ProgressView view;
  view.phase = "fetching";
  const std::string bar = RenderProgressBar(view, 100);
  EXPECT_THAT(bar, StartsWith("fetching"));
  EXPECT_THAT(bar, EndsWith("]   0 %"));
}

TEST(ProgressBar, StepsBeyondTheTotalStayAtAHundred) {
  ProgressView view = HalfWay();
  view.step = 2000;
  EXPECT_THAT(RenderProgressBar(view, 120), HasSubstr("] 100 %"));
}

TEST(ProgressBar, PlainLineHasEveryValueAndNoBar) {
  EXPECT_EQ(RenderProgressLine(HalfWay()),
            "phase sparse step 500/1000 loss 0.3124 accuracy 0.912 sparsity 0.9 elapsed 0:35 "
            "remaining 0:41");
}

TEST(ProgressBar, PlainLineOfAJobNotStartedIsShort) {
  EXPECT_EQ(RenderProgressLine(ProgressView()), "phase - elapsed 0:00");
}

TEST(ProgressBar, TransfersShowBytesAndSpeed) {
  EXPECT_EQ(RenderTransferBar(4 << 20, 10 << 20, absl::Seconds(2), 50),
            "[#####--------]  40 %  4.0 MiB/10.0 MiB  2.0 MiB/s");
}

TEST(ProgressBar, AnEmptyFileIsDoneAtOnce) {
  EXPECT_THAT(RenderTransferBar(0, 0, absl::ZeroDuration(), 60), HasSubstr("100 %"));
}

TEST(EstimateRemaining, IsProportionalToTheStepsLeft) {
  EXPECT_EQ(EstimateRemaining(0, 25, 100, absl::Seconds(10)), absl::Seconds(30));
  EXPECT_EQ(EstimateRemaining(50, 75, 100, absl::Seconds(10)), absl::Seconds(10));
}

TEST(EstimateRemaining, IsUnknownBeforeTheFirstStepAndWithoutATotal) {
  EXPECT_EQ(EstimateRemaining(0, 0, 100, absl::Seconds(10)), absl::InfiniteDuration());
  EXPECT_EQ(EstimateRemaining(0, 10, 0, absl::Seconds(10)), absl::InfiniteDuration());
  EXPECT_EQ(EstimateRemaining(0, 10, 100, absl::ZeroDuration()), absl::InfiniteDuration());
}

TEST(EstimateRemaining, IsZeroAtTheEnd) {
  EXPECT_EQ(EstimateRemaining(0, 100, 100, absl::Seconds(10)), absl::ZeroDuration());
}

}  // namespace
}  // namespace topiary
