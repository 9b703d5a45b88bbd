#ifndef TOPIARY_SERVER_SCHEDULING_SCHEDULER_FIXTURE_H_
#define TOPIARY_SERVER_SCHEDULING_SCHEDULER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "server/jobs/memory_metadata_store.h"
#include "server/scheduling/scheduler.h"

namespace topiary {

// What has come of a call so far.
struct Pending {
  bool cancelled = false;
  int answers = 0;
  absl::StatusOr<WorkerOrders> orders = absl::UnknownError("not answered");
};

// Counts what the scheduler tells.
class RecordingObserver : public SchedulerObserver {
 public:
  void OnLeaseGranted(const Lease&, absl::Duration queue_wait) override {
    ++granted;
    last_queue_wait = queue_wait;
  }
  void OnLeaseRenewed(const AttemptName&) override { ++renewed; }
  void OnLeaseRefused(const AttemptName&, const std::string&) override { ++refused; }
  void OnLeaseLost(const JobName&, int, const std::string&) override { ++lost; }
  void OnAttemptFinished(const Job&, const AttemptName&, const std::string&,
                         AttemptOutcome::Kind) override {
    ++finished;
    if (on_finished != nullptr) on_finished();
  }
  std::function<void()> on_finished;
  int granted = 0, renewed = 0, refused = 0, lost = 0, finished = 0;
  absl::Duration last_queue_wait;
};

// A scheduler on a store in memory, whose executor runs when the test says so. One thread only.
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
    EXPECT_THAT(orders.orders, testing::SizeIs(1));
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
    EXPECT_THAT(orders.new_leases, testing::SizeIs(1));
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

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_SCHEDULER_FIXTURE_H_
