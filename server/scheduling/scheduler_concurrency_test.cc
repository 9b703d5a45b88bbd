// Many workers at once, on threads of their own: each job is run once, and nobody waits for ever.

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/notification.h"
#include "common/status_matchers.h"
#include "server/jobs/memory_metadata_store.h"
#include "server/scheduling/scheduler.h"

namespace topiary {
namespace {

constexpr int kWorkers = 6;
constexpr int kJobs = 90;

// A few threads that run what is posted, and end once stopped and out of work.
class Threads {
 public:
  explicit Threads(int count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { Loop(); });
  }
  ~Threads() {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      changed_.SignalAll();
    }
    for (std::thread& thread : threads_) thread.join();
  }
  bool Post(std::function<void()> closure) {
    MutexLock lock(&mutex_);
    queue_.push_back(std::move(closure));
    changed_.Signal();
    return true;
  }

 private:
  void Loop() {
    while (true) {
      std::function<void()> closure;
      {
        MutexLock lock(&mutex_);
        while (queue_.empty() && !stopping_) changed_.Wait(&mutex_);
        if (queue_.empty()) return;
        closure = std::move(queue_.front());
        queue_.pop_front();
      }
      closure();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

class SchedulerConcurrencyTest : public testing::Test {
 protected:
  SchedulerConcurrencyTest() {
    store_.SetListener([this](const JobChange& change) { scheduler_.OnJobChange(change); });
  }

  WorkerOrders Sync(const WorkerReport& report) {
    Notification answered;
    absl::StatusOr<WorkerOrders> orders = absl::UnknownError("");
    scheduler_.Synchronize(
        report, [] { return false; },
        [&](absl::StatusOr<WorkerOrders> answer) {
          orders = std::move(answer);
          answered.Notify();
        });
    answered.WaitForNotification();
    EXPECT_OK(orders);
    return orders.value_or(WorkerOrders());
  }

  // Takes jobs, up to two at a time, reports each once and ends it, until the coordinator drains.
  void RunWorker(const std::string& id) {
    WorkerReport report;
    report.worker = id;
    report.capabilities.slots = 2;
    report.poll_timeout = absl::Seconds(30);
    while (true) {
      report.free_slots = 2 - static_cast<int>(report.attempts.size());
      const WorkerOrders orders = Sync(report);
      if (orders.coordinator_draining) return;
      std::vector<AttemptReport> next;
      for (size_t i = 0; i < orders.orders.size(); ++i) {
        if (orders.orders[i].action == AttemptOrder::Action::kForget) continue;
        next.push_back(report.attempts[i]);
        next.back().outcome = AttemptOutcome();
      }
      for (const LeaseGrant& grant : orders.new_leases) {
        MutexLock lock(&mutex_);
        ++leases_[grant.job.id];
        next.emplace_back();
        next.back().attempt = grant.lease.attempt;
        next.back().progress = "x";
      }
      report.attempts = std::move(next);
    }
  }

  MemoryMetadataStore store_{SystemClock()};
  SchedulerObserver observer_;
  std::atomic<int> next_token_{0};
  Scheduler scheduler_{
      SchedulerOptions(), &store_,
      [this](std::function<void()> closure) { return executor_->Post(std::move(closure)); },
      [this] { return absl::StrCat("token", next_token_++); }, &observer_};
  std::unique_ptr<Threads> executor_ = std::make_unique<Threads>(3);
  Mutex mutex_;
  std::map<std::string, int> leases_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(SchedulerConcurrencyTest, EachJobRunsOnceAndEveryWorkerIsAnswered) {
  Notification all_done;
  std::atomic<int> succeeded{0};
  store_.SetListener([&](const JobChange& change) {
    scheduler_.OnJobChange(change);
    if (change.state == JobState::kSucceeded && ++succeeded == kJobs) all_done.Notify();
  });
  std::vector<std::thread> workers;
  for (int i = 0; i < kWorkers; ++i) {
    workers.emplace_back([this, i] { RunWorker(absl::StrCat("w", i)); });
  }
  std::thread submitter([this] {
    for (int i = 0; i < kJobs; ++i) {
      Job job;
      job.project = absl::StrCat("p", i % 3);
      job.id = absl::StrCat("j", i);
      EXPECT_OK(store_.Insert(job, 1000, store_.Now()));
      EXPECT_OK(scheduler_.Tick());
    }
  });
  submitter.join();
  all_done.WaitForNotification();
  scheduler_.StartDraining();
  for (std::thread& worker : workers) worker.join();
  executor_.reset();
  MutexLock lock(&mutex_);
  EXPECT_EQ(leases_.size(), static_cast<size_t>(kJobs));
  for (const auto& [job, count] : leases_) EXPECT_EQ(count, 1) << job;
}

}  // namespace
}  // namespace topiary
