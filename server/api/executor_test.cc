#include "server/api/executor.h"

#include <vector>

#include "common/mutex.h"
#include "common/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

TEST(Executor, OneThreadKeepsTheOrder) {
  Executor executor("test", 1, 100);
  std::vector<int> ran;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(executor.Post([&ran, i] { ran.push_back(i); }));
  executor.Stop();
  EXPECT_THAT(ran, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(Executor, AFullQueueRefusesNewCallsButNotTheNextStepOfOldOnes) {
  Executor executor("test", 1, 1);
  Notification started;
  Notification release;
  ASSERT_TRUE(executor.Post([&] {
    started.Notify();
    release.WaitForNotification();
  }));
  started.WaitForNotification();
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_FALSE(executor.Post([] {}));
  Notification next_step_ran;
  executor.PostNextStep([&] { next_step_ran.Notify(); });
  EXPECT_EQ(executor.waiting(), 2);
  EXPECT_FALSE(executor.idle());
  release.Notify();
  next_step_ran.WaitForNotification();
}

TEST(Executor, NextStepsOfOldCallsTakeNoPlaceFromNewCalls) {
  Executor executor("test", 1, 1);
  Notification started;
  Notification release;
  ASSERT_TRUE(executor.Post([&] {
    started.Notify();
    release.WaitForNotification();
  }));
  started.WaitForNotification();
  for (int i = 0; i < 3; ++i) executor.PostNextStep([] {});
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_FALSE(executor.Post([] {}));
  EXPECT_EQ(executor.waiting(), 4);
  release.Notify();
}

TEST(Executor, StopRunsWhatWasPostedAndThenRefuses) {
  Executor executor("test", 2, 100);
  Mutex mu;
  int ran = 0;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(executor.Post([&] {
      MutexLock lock(&mu);
      ++ran;
    }));
  }
  executor.Stop();
  EXPECT_TRUE(executor.idle());
  EXPECT_EQ(ran, 50);
  EXPECT_FALSE(executor.Post([] {}));
  executor.Stop();
}

TEST(Executor, AClosureMayPostAnother) {
  Executor executor("test", 1, 10);
  Notification done;
  ASSERT_TRUE(executor.Post([&] { executor.PostNextStep([&] { done.Notify(); }); }));
  done.WaitForNotification();
}

}  // namespace
}  // namespace topiary
