#include "server/scheduling/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "server/scheduling/scheduler_fixture.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Action = AttemptOrder::Action;
using Reason = AttemptOrder::Reason;

TEST_F(SchedulerTest, AnIdleWorkerGetsTheWaitingJobWithAllItNeeds) {
  Job job;
  job.project = "p";
  job.id = "j";
  job.spec = "the spec";
  Submit(job);
  clock_.Advance(absl::Seconds(7));
  const WorkerOrders orders = Sync(Idle("w"));
  ASSERT_THAT(orders.new_leases, SizeIs(1));
  EXPECT_EQ(orders.new_leases[0].job.spec, "the spec");
  EXPECT_EQ(orders.new_leases[0].lease.attempt.attempt, 1);
  EXPECT_EQ(orders.new_leases[0].lease.attempt.token, "token0");
  EXPECT_EQ(orders.lease_duration, absl::Seconds(30));
  EXPECT_EQ(orders.next_report, absl::Seconds(1));
  EXPECT_EQ(observer_.last_queue_wait, absl::Seconds(7));
}

TEST_F(SchedulerTest, AnIdleWorkersCallIsHeldUntilThereIsWork) {
  const auto call = Call(Idle("w"));
  EXPECT_EQ(call->answers, 0);
  Submit("j");
  ASSERT_EQ(call->answers, 1);
  EXPECT_THAT(call->orders->new_leases, SizeIs(1));
}

TEST_F(SchedulerTest, AWaitingWorkerHearsOfASweepAndSharesItsChildrenFairly) {
  const auto call = Call(Idle("w0"));
  Job sweep;
  sweep.project = "p";
  sweep.id = "s";
  std::vector<Job> children(3, sweep);
  for (int i = 0; i < 3; ++i) children[i].id = absl::StrCat("s-000", i + 1);
  ASSERT_OK(store_.InsertSweep(sweep, children, 1000, clock_.Now()));
  RunExecutor();
  ASSERT_EQ(call->answers, 1);
  EXPECT_EQ(call->orders->new_leases.at(0).job.id, "s-0001");
  clock_.Advance(absl::Seconds(1));
  Submit("other", "q");
  // Project p runs one child already; the sweep itself counts as none and is given to nobody.
  EXPECT_EQ(Lease("w1").job, "other");
  EXPECT_EQ(Lease("w2").job, "s-0002");
  EXPECT_EQ(Lease("w3").job, "s-0003");
  EXPECT_EQ(Call(Idle("w4"))->answers, 0);
}

TEST_F(SchedulerTest, ACallWithoutAPollTimeoutIsAnsweredAtOnce) {
  WorkerReport report = Idle("w");
  report.poll_timeout = absl::ZeroDuration();
  EXPECT_THAT(Sync(report).new_leases, IsEmpty());
}

TEST_F(SchedulerTest, AHeldCallIsAnsweredAtItsDeadline) {
  const auto call = Call(Idle("w"));
  clock_.Advance(absl::Seconds(29));
  Tick();
  EXPECT_EQ(call->answers, 0);
  clock_.Advance(absl::Seconds(1));
  Tick();
  ASSERT_EQ(call->answers, 1);
  EXPECT_OK(call->orders);
  EXPECT_THAT(call->orders->new_leases, IsEmpty());
}

TEST_F(SchedulerTest, NoCallIsHeldLongerThanTheSchedulerAllows) {
  WorkerReport report = Idle("w");
  report.poll_timeout = absl::Hours(1);
  const auto call = Call(report);
  clock_.Advance(absl::Seconds(60));
  Tick();
  EXPECT_EQ(call->answers, 1);
}

TEST_F(SchedulerTest, ACancelledCallGetsNoLease) {
  const auto call = Call(Idle("w"));
  call->cancelled = true;
  Submit("j");
  EXPECT_EQ(call->answers, 1);
  EXPECT_THAT(call->orders, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(Get("j").state, JobState::kQueued);
}

TEST_F(SchedulerTest, ACancelledCallIsLetGoByTheClockwork) {
  const auto call = Call(Idle("w"));
  call->cancelled = true;
  Tick();
  EXPECT_THAT(call->orders, StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(SchedulerTest, ANewerCallOfAWorkerTakesThePlaceOfTheHeldOne) {
  const auto first = Call(Idle("w"));
  const auto second = Call(Idle("w"));
  EXPECT_THAT(first->orders, StatusIs(absl::StatusCode::kAborted));
  Submit("j");
  EXPECT_EQ(first->answers, 1);
  ASSERT_OK(second->orders);
  EXPECT_THAT(second->orders->new_leases, SizeIs(1));
}

TEST_F(SchedulerTest, AnOldCallThatWasBeingWokenDoesNotTakeANewerOnesPlace) {
  const auto first = Call(Idle("w"));
  ASSERT_OK(store_.Insert(
      [] {
        Job job;
        job.project = "p";
        job.id = "j";
        return job;
      }(),
      10, clock_.Now()));  // the wake-up waits in the executor
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  const auto second = Call(Idle("w"));
  EXPECT_EQ(second->answers, 0);
  RunExecutor();
  EXPECT_THAT(first->orders, StatusIs(absl::StatusCode::kAborted));
  Submit("k");
  ASSERT_OK(second->orders);
  EXPECT_THAT(second->orders->new_leases, SizeIs(1));
}

TEST_F(SchedulerTest, OneJobGoesToOneOfManyWaitingWorkers) {
  std::vector<std::shared_ptr<Pending>> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Call(Idle(absl::StrCat("w", i))));
  Submit("j");
  int answered = 0;
  for (const auto& call : calls) answered += call->answers;
  EXPECT_EQ(answered, 1);
  Submit("k");
  answered = 0;
  for (const auto& call : calls) answered += call->answers;
  EXPECT_EQ(answered, 2);
}

TEST_F(SchedulerTest, AJobOfBfloat16StaysQueuedUntilAWorkerHasIt) {
  Job job;
  job.project = "p";
  job.id = "j";
  job.placement.bfloat16 = true;
  Submit(job);
  const auto unable = Call(Idle("unable"));
  EXPECT_EQ(unable->answers, 0);
  EXPECT_EQ(Get("j").state, JobState::kQueued);
  WorkerReport able = Idle("able");
  able.capabilities.isa = "avx512_core_amx";
  EXPECT_THAT(Sync(able).new_leases, SizeIs(1));
  EXPECT_EQ(unable->answers, 0);
}

TEST_F(SchedulerTest, AFullExecutorIsToldToTheWorker) {
  const auto call = Call(Idle("w"));
  executor_is_full_ = true;
  Submit("j");
  EXPECT_THAT(call->orders, StatusIs(absl::StatusCode::kUnavailable));
  executor_is_full_ = false;
  EXPECT_THAT(Sync(Idle("w")).new_leases, SizeIs(1));
}

TEST_F(SchedulerTest, AWorkerGetsNoMoreThanItsFreeSlots) {
  for (int i = 0; i < 5; ++i) Submit(absl::StrCat("j", i));
  EXPECT_THAT(Sync(Idle("w", 3)).new_leases, SizeIs(3));
  EXPECT_THAT(Sync(Idle("v", 3)).new_leases, SizeIs(2));
}

TEST_F(SchedulerTest, ALostAnswerIsGivenAgainNotLeasedAnew) {
  Submit("j");
  Submit("k");
  const WorkerOrders lost = Sync(Idle("w"));
  clock_.Advance(absl::Seconds(20));
  const WorkerOrders again = Sync(Idle("w"));
  ASSERT_THAT(again.new_leases, SizeIs(1));
  EXPECT_EQ(again.new_leases[0].lease.attempt.token, lost.new_leases[0].lease.attempt.token);
  EXPECT_EQ(again.new_leases[0].lease.expires_at, clock_.Now() + absl::Seconds(30));
  EXPECT_EQ(observer_.granted, 1);
  EXPECT_EQ(Get("k").state, JobState::kQueued);
}

TEST_F(SchedulerTest, LeasesWithLargeSpecsComeInSeveralAnswersThatCanBeSent) {
  Job job;
  job.project = "p";
  job.spec = std::string(256 * 1024, 'x');
  for (int i = 0; i < 64; ++i) {
    job.id = absl::StrCat("j", i);
    Submit(job);
  }
  WorkerReport report = Idle("w", 64);
  while (report.free_slots > 0) {
    const WorkerOrders orders = Sync(report);
    ASSERT_THAT(orders.new_leases, Not(IsEmpty()));
    ASSERT_THAT(orders.new_leases, SizeIs(testing::Le(12)));
    for (const LeaseGrant& grant : orders.new_leases) {
      report.attempts.emplace_back();
      report.attempts.back().attempt = grant.lease.attempt;
      --report.free_slots;
    }
  }
  EXPECT_THAT(report.attempts, SizeIs(64));
  EXPECT_EQ(observer_.granted, 64);
}

TEST_F(SchedulerTest, LeasesWithLargeSpecsThatWereLostAreGivenAgainInPartsToo) {
  Job job;
  job.project = "p";
  job.spec = std::string(256 * 1024, 'x');
  for (int i = 0; i < 20; ++i) {
    job.id = absl::StrCat("j", i);
    Submit(job);
    ASSERT_OK(store_.Acquire(job.name(), "w", absl::StrCat("t", i),
                             clock_.Now() + absl::Seconds(30), true, clock_.Now()));
  }
  EXPECT_THAT(Sync(Idle("w", 20)).new_leases, SizeIs(12));
}

TEST_F(SchedulerTest, ALostAnswerForACancelledJobIsNotGivenAgain) {
  Submit("j");
  Sync(Idle("w"));
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  const auto call = Call(Idle("w"));
  EXPECT_EQ(call->answers, 0);
  EXPECT_EQ(Get("j").state, JobState::kCancelled);
}

TEST_F(SchedulerTest, ADrainOrderedWhileTheCallIsLookedAtIsHeardAtOnce) {
  Submit("j");
  Sync(Idle("w"));
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  observer_.on_finished = [this] { EXPECT_OK(scheduler_->DrainWorker("w")); };
  const auto call = Call(Idle("w"));  // after the report is noted, the lost lease is ended
  ASSERT_EQ(call->answers, 1);
  ASSERT_OK(call->orders);
  EXPECT_TRUE(call->orders->drain);
}

TEST_F(SchedulerTest, ReportsRenewTheLeaseAndCarryProgress) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(absl::Seconds(20));
    WorkerReport report = Busy("w", attempt);
    report.attempts[0].progress = absl::StrCat("step ", i);
    const AttemptOrder order = SyncOne(report);
    EXPECT_EQ(order.action, Action::kContinue);
    Tick();
  }
  EXPECT_EQ(Get("j").state, JobState::kRunning);
  EXPECT_EQ(Get("j").progress, "step 9");
  EXPECT_EQ(observer_.renewed, 10);
}

TEST_F(SchedulerTest, AWorkerThatVanishesLosesItsLeaseAndAnotherGoesOn) {
  Submit("j");
  const AttemptName lost = Lease("w");
  const auto other = Call(Idle("v"));
  clock_.Advance(absl::Seconds(31));
  Tick();
  EXPECT_EQ(Get("j").state, JobState::kQueued);
  EXPECT_EQ(observer_.lost, 1);
  const auto next = other->answers == 1 ? Call(Idle("v")) : other;
  EXPECT_EQ(next->answers, 0);  // in back-off
  clock_.Advance(absl::Seconds(1));
  Tick();
  ASSERT_EQ(next->answers, 1);
  ASSERT_THAT(next->orders->new_leases, SizeIs(1));
  EXPECT_EQ(next->orders->new_leases[0].lease.attempt.attempt, 2);
  // The first one comes back late.
  AttemptOrder order = SyncOne(Busy("w", lost));
  EXPECT_EQ(order.action, Action::kStop);
  EXPECT_EQ(order.reason, Reason::kLeaseLost);
  order = SyncOne(Finished("w", lost, AttemptOutcome::Kind::kSucceeded));
  EXPECT_EQ(order.action, Action::kForget);
  EXPECT_EQ(order.reason, Reason::kLeaseLost);
  EXPECT_EQ(Get("j").state, JobState::kRunning);
  EXPECT_EQ(observer_.refused, 2);
}

TEST_F(SchedulerTest, AfterAStartNothingIsReclaimedForOneLeaseLength) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  clock_.Advance(absl::Hours(1));  // the coordinator was away
  Restart();
  Tick();
  clock_.Advance(absl::Seconds(29));
  Tick();
  EXPECT_EQ(Get("j").state, JobState::kRunning);
  EXPECT_EQ(SyncOne(Busy("w", attempt)).action, Action::kContinue);
  clock_.Advance(absl::Seconds(20));
  Tick();
  EXPECT_EQ(Get("j").state, JobState::kRunning);
}

TEST_F(SchedulerTest, AfterAStartAWorkerThatStaysAwayIsReclaimed) {
  Submit("j");
  Lease("w");
  Restart();
  clock_.Advance(absl::Seconds(31));
  Tick();
  EXPECT_EQ(Get("j").state, JobState::kQueued);
}
}  // namespace
}  // namespace topiary
