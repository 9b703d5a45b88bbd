#include "server/scheduling/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "server/jobs/memory_metadata_store.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using Action = AttemptOrder::Action;
using Reason = AttemptOrder::Reason;

// What has come of a call so far.
struct Pending {
  bool cancelled = false;
  int answers = 0;
  absl::StatusOr<WorkerOrders> orders = absl::UnknownError("not answered");
};

class RecordingObserver : public SchedulerObserver {
 public:
  void OnLeaseGranted(const Lease&, absl::Duration queue_wait) override {
    ++granted;
    last_queue_wait = queue_wait;
  }
  void OnLeaseRenewed(const AttemptName&) override { ++renewed; }
  void OnLeaseRefused(const AttemptName&, const std::string&) override { ++refused; }
  void OnLeaseLost(const JobName&, int, const std::string&) override { ++lost; }
  void OnAttemptFinished(const Job&, const AttemptName&, AttemptOutcome::Kind) override {
    ++finished;
  }
  int granted = 0, renewed = 0, refused = 0, lost = 0, finished = 0;
  absl::Duration last_queue_wait;
};

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest() { Restart(); }

  // A coordinator that starts anew on the same store.
  void Restart() {
    scheduler_.reset();
    executor_.clear();
    scheduler_ = std::make_unique<Scheduler>(
        SchedulerOptions(), &store_,
        [this](std::function<void()> closure) {
          if (executor_is_full_) return false;
          executor_.push_back(std::move(closure));
          return true;
        },
        [this] { return absl::StrCat("token", next_token_++); }, &observer_);
    store_.SetListener([this](const JobChange& change) { scheduler_->OnJobChange(change); });
  }

  void RunExecutor() {
    while (!executor_.empty()) {
      const auto closure = std::move(executor_.front());
      executor_.pop_front();
      closure();
    }
  }

  void Tick() {
    EXPECT_OK(scheduler_->Tick());
    RunExecutor();
  }

  static WorkerReport Idle(const std::string& worker, int slots = 1) {
    WorkerReport report;
    report.worker = worker;
    report.capabilities.slots = slots;
    report.capabilities.threads = 2;
    report.capabilities.isa = "avx512_core";
    report.capabilities.onednn_version = "3.2.0";
    report.capabilities.devices = {Device::kCpu};
    report.free_slots = slots;
    report.poll_timeout = absl::Seconds(30);
    return report;
  }

  static WorkerReport Busy(const std::string& worker, const AttemptName& attempt) {
    WorkerReport report = Idle(worker);
    report.free_slots = 0;
    report.attempts.resize(1);
    report.attempts[0].attempt = attempt;
    return report;
  }

  static WorkerReport Finished(const std::string& worker, const AttemptName& attempt,
                               AttemptOutcome::Kind kind) {
    WorkerReport report = Busy(worker, attempt);
    report.attempts[0].outcome = AttemptOutcome();
    report.attempts[0].outcome->kind = kind;
    if (kind == AttemptOutcome::Kind::kFailed) {
      report.attempts[0].outcome->failure = {absl::StatusCode::kInternal, "it broke"};
    }
    return report;
  }

  std::shared_ptr<Pending> Call(const WorkerReport& report) {
    auto pending = std::make_shared<Pending>();
    scheduler_->Synchronize(
        report, [pending] { return pending->cancelled; },
        [pending](absl::StatusOr<WorkerOrders> orders) {
          ++pending->answers;
          pending->orders = std::move(orders);
        });
    return pending;
  }

  // A call that is answered at once.
  WorkerOrders Sync(const WorkerReport& report) {
    const auto pending = Call(report);
    EXPECT_EQ(pending->answers, 1);
    EXPECT_OK(pending->orders);
    return pending->orders.value_or(WorkerOrders());
  }

  AttemptOrder SyncOne(const WorkerReport& report) {
    const WorkerOrders orders = Sync(report);
    EXPECT_THAT(orders.orders, SizeIs(1));
    return orders.orders.at(0);
  }

  Job Submit(const std::string& id, const std::string& project = "p") {
    Job job;
    job.project = project;
    job.id = id;
    return Submit(job);
  }

  Job Submit(const Job& job) {
    const auto stored = store_.Insert(job, 1000, clock_.Now());
    EXPECT_OK(stored);
    RunExecutor();
    return *stored;
  }

  // Gives the worker the only job there is.
  AttemptName Lease(const std::string& worker) {
    const WorkerOrders orders = Sync(Idle(worker));
    EXPECT_THAT(orders.new_leases, SizeIs(1));
    return orders.new_leases.at(0).lease.attempt;
  }

  Job Get(const std::string& id) { return *store_.Get({"p", id}); }

  FakeClock clock_;
  MemoryMetadataStore store_{&clock_};
  RecordingObserver observer_;
  int next_token_ = 0;
  bool executor_is_full_ = false;
  std::deque<std::function<void()>> executor_;
  std::unique_ptr<Scheduler> scheduler_;
};

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

TEST_F(SchedulerTest, ALostAnswerForACancelledJobIsNotGivenAgain) {
  Submit("j");
  Sync(Idle("w"));
  ASSERT_OK(store_.RequestCancel({"p", "j"}, clock_.Now()));
  const auto call = Call(Idle("w"));
  EXPECT_EQ(call->answers, 0);
  EXPECT_EQ(Get("j").state, JobState::kCancelled);
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

TEST_F(SchedulerTest, ARetryGoesAtOnceToAWorkerThatCanBeHeldToTheKey) {
  Submit("j");
  WorkerReport report = Finished("w", Lease("w"), AttemptOutcome::Kind::kFailed);
  report.attempts[0].determinism_key = DeterminismKey{"3.2.0", "avx2", 1, "plan"};
  SyncOne(report);
  clock_.Advance(absl::Seconds(1));
  const WorkerOrders orders = Sync(Idle("v"));
  ASSERT_THAT(orders.new_leases, SizeIs(1));
  EXPECT_TRUE(orders.new_leases[0].lease.bit_exact);
  EXPECT_EQ(orders.new_leases[0].job.determinism_key->isa, "avx2");
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
