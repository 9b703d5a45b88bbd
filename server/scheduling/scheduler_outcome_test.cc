// What the scheduler makes of outcomes, deadlines, drains and shutdowns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/digest.h"
#include "common/status_matchers.h"
#include "server/scheduling/scheduler.h"
#include "server/scheduling/scheduler_fixture.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using Action = AttemptOrder::Action;
using Reason = AttemptOrder::Reason;

TEST_F(SchedulerTest, AnOutcomeIsRecordedOnceHoweverOftenItIsReported) {
  Submit("j");
  const WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kSucceeded);
  for (int i = 0; i < 3; ++i) {
    const AttemptOrder order = SyncOne(report);
    EXPECT_EQ(order.action, Action::kForget);
    EXPECT_EQ(order.reason, Reason::kRecorded);
  }
  EXPECT_EQ(Get("j").state, JobState::kSucceeded);
  EXPECT_EQ(Get("j").last_sequence, 3);
  EXPECT_EQ(
      SyncOne(Finished("w", report.attempts[0].attempt, AttemptOutcome::Kind::kFailed)).reason,
      Reason::kLeaseLost);
}

TEST_F(SchedulerTest, AFailedAttemptIsRepeatedAfterItsBackoff) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kFailed);
  report.free_slots = 1;
  EXPECT_EQ(SyncOne(report).reason, Reason::kRecorded);
  const auto call = Call(Idle("w"));
  EXPECT_EQ(call->answers, 0);
  clock_.Advance(absl::Seconds(1));
  Tick();
  ASSERT_EQ(call->answers, 1);
  EXPECT_EQ(call->orders->new_leases.at(0).lease.attempt.attempt, 2);
}

TEST_F(SchedulerTest, AnOutcomeFreesItsSlotInTheSameCall) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kSucceeded);
  Submit("k");
  report.free_slots = 1;
  const WorkerOrders orders = Sync(report);
  EXPECT_EQ(orders.orders.at(0).reason, Reason::kRecorded);
  EXPECT_THAT(orders.new_leases, SizeIs(1));
}

TEST_F(SchedulerTest, AResultWhoseFilesAreNotStoredIsAFailedAttempt) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kSucceeded);
  report.attempts[0].outcome->outputs = {{Sha256Hex("nowhere"), "report"}};
  EXPECT_EQ(SyncOne(report).reason, Reason::kRecorded);
  EXPECT_EQ(Get("j").state, JobState::kQueued);
  EXPECT_EQ(Get("j").failure.code, absl::StatusCode::kFailedPrecondition);
}

TEST_F(SchedulerTest, ACancelledJobIsStoppedAtTheNextReport) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  const AttemptOrder order = SyncOne(Busy("w", attempt));
  EXPECT_EQ(order.action, Action::kStop);
  EXPECT_EQ(order.reason, Reason::kCancelled);
  EXPECT_EQ(SyncOne(Finished("w", attempt, AttemptOutcome::Kind::kCancelled)).reason,
            Reason::kRecorded);
  EXPECT_EQ(Get("j").state, JobState::kCancelled);
}

TEST_F(SchedulerTest, ADeadlineStopsARunningJobAndFailsAWaitingOne) {
  for (const char* id : {"a", "b"}) {
    Job job;
    job.project = "p";
    job.id = id;
    job.deadline = clock_.Now() + absl::Seconds(5);
    Submit(job);
  }
  const AttemptName attempt = Lease("w");
  clock_.Advance(absl::Seconds(5));
  Tick();
  EXPECT_EQ(SyncOne(Busy("w", attempt)).reason, Reason::kDeadlineExceeded);
  EXPECT_EQ(Get("b").reason, JobReason::kDeadlineExceeded);
}

TEST_F(SchedulerTest, ADeletedJobIsGoneForItsWorker) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  SyncOne(Finished("w", attempt, AttemptOutcome::Kind::kSucceeded));
  ASSERT_OK(store_.Delete({"p", "j"}));
  EXPECT_EQ(SyncOne(Busy("w", attempt)).reason, Reason::kJobGone);
  EXPECT_EQ(SyncOne(Finished("w", attempt, AttemptOutcome::Kind::kSucceeded)).action,
            Action::kForget);
}

TEST_F(SchedulerTest, AHandBackGoesOnFromTheCheckpointAtOnceElsewhere) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  UploadSession session;
  session.project = "p";
  session.id = "u";
  session.digest = Sha256Hex("state");
  session.kind = ArtifactKind::kCheckpoint;
  ASSERT_OK(store_.BeginUpload(session, 10, clock_.Now()));
  ASSERT_OK(store_.FinishUpload("p", "u", clock_.Now()));
  WorkerReport report = Finished("w", attempt, AttemptOutcome::Kind::kHandedBack);
  report.attempts[0].checkpoint = Checkpoint();
  report.attempts[0].checkpoint->digest = session.digest;
  report.attempts[0].checkpoint->step = 77;
  report.draining = true;
  EXPECT_EQ(SyncOne(report).reason, Reason::kRecorded);
  const WorkerOrders orders = Sync(Idle("v"));
  ASSERT_THAT(orders.new_leases, SizeIs(1));
  EXPECT_EQ(orders.new_leases[0].job.checkpoints.at(0).digest, session.digest);
  EXPECT_EQ(orders.new_leases[0].job.attempts_spent, 0);
}

TEST_F(SchedulerTest, ACheckpointThatIsNotStoredDoesNotDisturbTheAttempt) {
  Submit("j");
  WorkerReport report = Busy("w", Lease("w"));
  report.attempts[0].checkpoint = Checkpoint();
  report.attempts[0].checkpoint->digest = Sha256Hex("dropped");
  report.attempts[0].checkpoint->step = 1;
  EXPECT_EQ(SyncOne(report).action, Action::kContinue);
  EXPECT_THAT(Get("j").checkpoints, IsEmpty());
}

TEST_F(SchedulerTest, ADrainingWorkerGetsNothingAndIsNotHeld) {
  Submit("j");
  WorkerReport report = Idle("w");
  report.draining = true;
  EXPECT_THAT(Sync(report).new_leases, IsEmpty());
}

TEST_F(SchedulerTest, ALeaseADrainingWorkerNeverHeardOfIsTakenBackWithoutSpendingARetry) {
  Submit("j");
  Sync(Idle("w"));  // the answer is lost, and the worker is told to end
  WorkerReport report = Idle("w");
  report.free_slots = 0;
  report.draining = true;
  Sync(report);
  EXPECT_EQ(Get("j").state, JobState::kQueued);
  EXPECT_EQ(Get("j").attempts_spent, 0);
}

TEST_F(SchedulerTest, AnAdministratorsDrainReachesAWaitingWorkerAtOnce) {
  const auto call = Call(Idle("w"));
  ASSERT_OK_AND_ASSIGN(const WorkerInfo info, scheduler_->DrainWorker("w"));
  EXPECT_TRUE(info.drain_requested);
  RunExecutor();
  ASSERT_EQ(call->answers, 1);
  EXPECT_TRUE(call->orders->drain);
  Submit("j");
  EXPECT_THAT(Sync(Idle("w")).new_leases, IsEmpty());
}

TEST_F(SchedulerTest, AnAdministratorsDrainReachesABusyWorkerAtItsNextReport) {
  Submit("j");
  const AttemptName attempt = Lease("w");
  ASSERT_OK(scheduler_->DrainWorker("w"));
  const WorkerOrders orders = Sync(Busy("w", attempt));
  EXPECT_TRUE(orders.drain);
  EXPECT_EQ(orders.orders.at(0).action, Action::kContinue);
}

TEST_F(SchedulerTest, AnUnknownWorkerCannotBeDrained) {
  EXPECT_THAT(scheduler_->DrainWorker("nobody"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SchedulerTest, AShutdownAnswersWaitingCallsAndGrantsNothingMore) {
  Submit("j");
  const AttemptName attempt = Lease("busy");
  const auto call = Call(Idle("idle"));
  scheduler_->StartDraining();
  ASSERT_EQ(call->answers, 1);
  EXPECT_TRUE(call->orders->coordinator_draining);
  Submit("k");
  const WorkerOrders orders = Sync(Idle("idle"));
  EXPECT_TRUE(orders.coordinator_draining);
  EXPECT_THAT(orders.new_leases, IsEmpty());
  EXPECT_EQ(SyncOne(Busy("busy", attempt)).action, Action::kContinue);
}

TEST_F(SchedulerTest, ARetryWaitsForAWorkerWithTheSameKeyAndThenTakesAny) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kFailed);
  report.attempts[0].determinism_key = DeterminismKey{"3.2.0", "avx512_core", 2, "plan"};
  SyncOne(report);
  clock_.Advance(absl::Seconds(1));
  WorkerReport other = Idle("other");
  other.capabilities.isa = "avx2";
  const auto call = Call(other);
  EXPECT_EQ(call->answers, 0);
  other.poll_timeout = absl::ZeroDuration();
  clock_.Advance(SchedulerOptions().same_key_wait);
  Tick();
  const WorkerOrders orders =
      call->orders.ok() && !call->orders->new_leases.empty() ? *call->orders : Sync(other);
  ASSERT_THAT(orders.new_leases, SizeIs(1));
  EXPECT_FALSE(orders.new_leases[0].lease.bit_exact);
  EXPECT_FALSE(Get("j").bit_exact);
}

TEST_F(SchedulerTest, ARetryGoesAtOnceToAWorkerThatMatchesTheKey) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kFailed);
  report.attempts[0].determinism_key = DeterminismKey{"3.2.0", "avx512_core", 1, "plan"};
  SyncOne(report);
  clock_.Advance(absl::Seconds(1));
  const WorkerOrders orders = Sync(Idle("v"));
  ASSERT_THAT(orders.new_leases, SizeIs(1));
  EXPECT_TRUE(orders.new_leases[0].lease.bit_exact);
  EXPECT_EQ(orders.new_leases[0].job.determinism_key->threads, 1);
}

TEST_F(SchedulerTest, ProjectsShareTheWorkers) {
  for (int i = 0; i < 4; ++i) Submit(absl::StrCat("a", i), "greedy");
  clock_.Advance(absl::Seconds(1));
  Submit("b0", "modest");
  std::map<std::string, int> leases;
  for (const LeaseGrant& grant : Sync(Idle("w", 2)).new_leases) ++leases[grant.job.project];
  EXPECT_THAT(leases, testing::ElementsAre(testing::Pair("greedy", 1), testing::Pair("modest", 1)));
}

TEST_F(SchedulerTest, AStoreThatFailsFailsTheCallAndTheReportCanBeRepeated) {
  Submit("j");
  const WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kSucceeded);
  store_.FailWith(absl::UnavailableError("down"));
  EXPECT_THAT(Call(report)->orders, StatusIs(absl::StatusCode::kUnavailable));
  clock_.Advance(absl::Seconds(2));
  EXPECT_THAT(scheduler_->Tick(), StatusIs(absl::StatusCode::kUnavailable));
  store_.FailWith(absl::OkStatus());
  EXPECT_EQ(SyncOne(report).reason, Reason::kRecorded);
}

TEST_F(SchedulerTest, WorkersAreListedWithWhatTheyDo) {
  Submit("j");
  const AttemptName attempt = Lease("busy");
  Sync(Busy("busy", attempt));
  Call(Idle("idle"));
  clock_.Advance(absl::Seconds(29));
  const std::vector<WorkerInfo> workers = scheduler_->ListWorkers("", 10);
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].state, WorkerInfo::State::kBusy);
  EXPECT_THAT(workers[0].jobs, testing::ElementsAre(JobName{"p", "j"}));
  EXPECT_EQ(workers[1].state, WorkerInfo::State::kIdle);
}

TEST_F(SchedulerTest, AStrangersReportTouchesNothing) {
  Submit("j");
  AttemptName forged = Lease("w");
  forged.token = "guess";
  EXPECT_EQ(SyncOne(Busy("stranger", forged)).reason, Reason::kLeaseLost);
  EXPECT_EQ(SyncOne(Finished("stranger", forged, AttemptOutcome::Kind::kSucceeded)).reason,
            Reason::kLeaseLost);
  EXPECT_EQ(Get("j").state, JobState::kRunning);
}

}  // namespace
}  // namespace topiary
