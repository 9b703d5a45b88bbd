#include "client/backoff.h"

#include "gtest/gtest.h"

namespace topiary {
namespace {

TEST(Backoff, DoublesUpToTheMaximumWithinItsSpread) {
  BackoffOptions options;
  options.initial = absl::Milliseconds(100);
  options.maximum = absl::Milliseconds(1000);
  options.max_failures = 100;
  Backoff backoff(options, 1);
  for (const int full : {100, 200, 400, 800, 1000, 1000}) {
    backoff.Fail();
    const absl::Duration delay = backoff.Delay();
    EXPECT_GE(delay, absl::Milliseconds(full) * 0.5);
    EXPECT_LE(delay, absl::Milliseconds(full));
  }
}

TEST(Backoff, GivesUpAfterFailuresInARow) {
  BackoffOptions options;
  options.max_failures = 3;
  Backoff backoff(options, 1);
  EXPECT_TRUE(backoff.Fail());
  EXPECT_TRUE(backoff.Fail());
  EXPECT_FALSE(backoff.Fail());
}

TEST(Backoff, SuccessStartsTheCountAnew) {
  BackoffOptions options;
  options.max_failures = 2;
  Backoff backoff(options, 1);
  EXPECT_TRUE(backoff.Fail());
  backoff.Reset();
  EXPECT_TRUE(backoff.Fail());
  EXPECT_FALSE(backoff.Fail());
}

TEST(Backoff, ManyFailuresDoNotOverflow) {
  BackoffOptions options;
  options.max_failures = 1000;
  Backoff backoff(options, 1);
  for (int i = 0; i < 500; ++i) backoff.Fail();
  EXPECT_LE(backoff.Delay(), options.maximum);
  EXPECT_GE(backoff.Delay(), options.maximum * 0.5);
}

TEST(Backoff, TwoClientsDoNotReturnTogether) {
  Backoff a(BackoffOptions{}, 1);
  Backoff b(BackoffOptions{}, 2);
  EXPECT_NE(a.Delay(), b.Delay());
}

}  // namespace
}  // namespace topiary
