#include "server/scheduling/job_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "server/jobs/memory_metadata_store.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class JobEventsTest : public testing::Test {
 protected:
  JobEventsTest() {
    store_.SetListener([this](const JobChange& change) { events_.OnJobChange(change); });
    Job job;
    job.project = "p";
    job.id = "j";
    EXPECT_OK(store_.Insert(job, 10, clock_.Now()));
  }

  std::unique_ptr<JobWatch> Watch(int64_t after) {
    return events_.Watch({"p", "j"}, after, [this] { ++ready_; });
  }

  AttemptName Acquire() {
    const auto job =
        store_.Acquire({"p", "j"}, "w", "t", clock_.Now() + absl::Hours(1), true, clock_.Now());
    EXPECT_OK(job);
    return job->lease->attempt;
  }

  void Progress(const AttemptName& attempt) {
    clock_.Advance(absl::Seconds(1));
    AttemptUpdate update;
    update.attempt = attempt;
    update.progress = "x";
    EXPECT_OK(store_.RecordProgress({update}, clock_.Now()));
  }

  FakeClock clock_;
  MemoryMetadataStore store_{&clock_};
  JobEvents events_{&store_};
  int ready_ = 0;
};

TEST_F(JobEventsTest, APastIsReadAndThenTheFutureIsAnnounced) {
  const auto watch = Watch(0);
  EXPECT_THAT(watch->Read(10)->events, SizeIs(1));
  EXPECT_THAT(watch->Read(10)->events, IsEmpty());
  EXPECT_EQ(ready_, 0);
  Acquire();
  EXPECT_EQ(ready_, 1);
  const auto batch = watch->Read(10);
  ASSERT_THAT(batch->events, SizeIs(1));
  EXPECT_EQ(batch->events[0].sequence, 2);
}

TEST_F(JobEventsTest, ASlowWatcherIsCalledOnceAndReadsAllFromTheStore) {
  const auto watch = Watch(1);
  EXPECT_THAT(watch->Read(10)->events, IsEmpty());
  const AttemptName attempt = Acquire();
  for (int i = 0; i < 50; ++i) Progress(attempt);
  EXPECT_EQ(ready_, 1);
  EXPECT_THAT(watch->Read(40)->events, SizeIs(40));
  EXPECT_THAT(watch->Read(40)->events, SizeIs(11));
  EXPECT_EQ(ready_, 1);
}

TEST_F(JobEventsTest, AWatcherThatHasNotReadToTheEndIsNotCalled) {
  const auto watch = Watch(0);
  Acquire();
  EXPECT_EQ(ready_, 0);
}

TEST_F(JobEventsTest, TheEndOfTheJobEndsTheWatch) {
  const auto watch = Watch(0);
  ASSERT_OK(store_.FinishAttempt(Acquire(), AttemptOutcome(), clock_.Now()));
  const auto batch = watch->Read(10);
  EXPECT_THAT(batch->events, SizeIs(3));
  EXPECT_TRUE(batch->ended);
  EXPECT_TRUE(watch->Read(10)->ended);
}

TEST_F(JobEventsTest, AnEndedBatchIsNotCutShortByItsLimit) {
  const auto watch = Watch(0);
  ASSERT_OK(store_.FinishAttempt(Acquire(), AttemptOutcome(), clock_.Now()));
  EXPECT_FALSE(watch->Read(2)->ended);
  EXPECT_TRUE(watch->Read(2)->ended);
}

TEST_F(JobEventsTest, AWatchBegunAfterTheLastEventOfAnEndedJobEndsAtOnce) {
  ASSERT_OK(store_.FinishAttempt(Acquire(), AttemptOutcome(), clock_.Now()));
  for (int64_t after : {int64_t{3}, int64_t{1000}}) {
    const auto watch = Watch(after);
    const auto batch = watch->Read(10);
    EXPECT_THAT(batch->events, IsEmpty());
    EXPECT_TRUE(batch->ended);
  }
}

TEST_F(JobEventsTest, AWatchOfADeletedOrUnknownJobIsNotFound) {
  const auto watch = Watch(0);
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  ASSERT_OK(store_.Delete({"p", "j"}));
  EXPECT_THAT(watch->Read(10), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JobEventsTest, AWaitingWatcherThatComesTooLateForTheEndHearsThatTheJobIsGone) {
  const auto watch = Watch(1);
  EXPECT_THAT(watch->Read(10)->events, IsEmpty());
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  ASSERT_OK(store_.Delete({"p", "j"}));
  EXPECT_EQ(ready_, 1);
  EXPECT_THAT(watch->Read(10), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(JobEventsTest, ADestroyedWatchIsNotCalledAndLeavesNothing) {
  auto watch = Watch(1);
  ASSERT_OK(watch->Read(10));
  EXPECT_EQ(events_.size(), 1);
  watch.reset();
  EXPECT_EQ(events_.size(), 0);
  Acquire();
  EXPECT_EQ(ready_, 0);
}

TEST_F(JobEventsTest, OtherJobsDoNotWakeAWatcher) {
  const auto watch = Watch(1);
  ASSERT_OK(watch->Read(10));
  events_.OnJobChange({{"p", "other"}, JobState::kRunning, false});
  EXPECT_EQ(ready_, 0);
}

TEST_F(JobEventsTest, AFailingStoreIsReportedAndTheWatchCanGoOn) {
  const auto watch = Watch(0);
  store_.FailWith(absl::UnavailableError("down"));
  EXPECT_THAT(watch->Read(10), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_THAT(watch->Read(10)->events, SizeIs(1));
}

}  // namespace
}  // namespace topiary
