#include "common/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "common/notification.h"

namespace topiary {
namespace {

TEST(Mutex, LetsOneThreadInAtATime) {
  Mutex mutex;
  int64_t count = 0;  // Not atomic: lost updates would show.
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) {
        MutexLock lock(&mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 40000);
}

TEST(CondVar, WakesAWaiterThatFindsTheConditionTrue) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  bool seen = false;
  std::thread waiter([&] {
    MutexLock lock(&mutex);
    while (!ready) changed.Wait(&mutex);
    seen = true;
  });
  {
    MutexLock lock(&mutex);
    ready = true;
    changed.SignalAll();
  }
  waiter.join();
  EXPECT_TRUE(seen);
}

TEST(CondVar, SaysWhenTheTimeRanOutAndHoldsTheLockAgain) {
  Mutex mutex;
  CondVar never;
  MutexLock lock(&mutex);
  while (!never.WaitWithTimeout(&mutex, absl::Milliseconds(1))) {
  }
  mutex.AssertHeld();
  EXPECT_TRUE(never.WaitUntil(&mutex, absl::InfinitePast()));
}

TEST(Notification, ReleasesAllWhoWaitAndShowsWhatCameBefore) {
  Notification done;
  int value = 0;
  EXPECT_FALSE(done.HasBeenNotified());
  EXPECT_FALSE(done.WaitForNotificationWithTimeout(absl::ZeroDuration()));
  std::vector<std::thread> waiters;
  std::vector<int> seen(3, 0);
  for (int& slot : seen) {
    waiters.emplace_back([&done, &value, &slot] {
      done.WaitForNotification();
      slot = value;
    });
  }
  value = 7;
  done.Notify();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(seen, std::vector<int>(3, 7));
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::ZeroDuration()));
}

}  // namespace
}  // namespace topiary
