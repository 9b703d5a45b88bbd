#include "common/clock.h"

#include <gtest/gtest.h>

#include "common/fake_clock.h"

namespace topiary {
namespace {

TEST(SystemClock, DoesNotStandStill) {
  const absl::Time first = SystemClock()->Now();
  while (SystemClock()->Now() <= first) {
  }
  EXPECT_GT(SystemClock()->Now(), first);
}

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock(absl::UnixEpoch());
  EXPECT_EQ(clock.Now(), absl::UnixEpoch());
  clock.Advance(absl::Seconds(90));
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Seconds(90));
  clock.Set(absl::UnixEpoch() + absl::Hours(5));
  EXPECT_EQ(clock.Now(), absl::UnixEpoch() + absl::Hours(5));
}

}  // namespace
}  // namespace topiary
