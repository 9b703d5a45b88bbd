#include "common/periodic.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <string>

#include "common/notification.h"

namespace topiary {
namespace {

TEST(Periodic, RunsAgainAndAgain) {
  std::atomic<int> runs{0};
  Notification third;
  Periodic periodic("test", absl::Milliseconds(1), [&] {
    if (++runs == 3) third.Notify();
  });
  third.WaitForNotification();
  periodic.Stop();
  const int after_stop = runs.load();
  EXPECT_GE(after_stop, 3);
  periodic.Stop();  // Harmless.
  EXPECT_EQ(runs.load(), after_stop);
}

TEST(Periodic, StopDoesNotWaitForTheInterval) {
  Notification ran;
  Periodic periodic("test", absl::Hours(10), [&] { ran.Notify(); });
  ran.WaitForNotification();
  periodic.Stop();
}

TEST(Periodic, ItsThreadBearsTheName) {
  std::string name;
  Notification ran;
  Periodic periodic("a-name-longer-than-15", absl::Hours(10), [&] {
    char buffer[16] = {};
    pthread_getname_np(pthread_self(), buffer, sizeof(buffer));
    name = buffer;
    ran.Notify();
  });
  ran.WaitForNotification();
  EXPECT_EQ(name, "a-name-longer-t");
}

}  // namespace
}  // namespace topiary
