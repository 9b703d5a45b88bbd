#include "worker/agent/testing/agent_fixture.h"

#include <prometheus/registry.h>

#include <memory>
#include <thread>

#include "common/status_matchers.h"
#include "worker/agent/artifact_cache.h"
#include "worker/agent/worker_metrics.h"

namespace topiary {

absl::StatusOr<JobOutcome> TrainUntilTold(const JobAttempt& attempt, JobObserver* observer) {
  while (true) {
    switch (observer->Control()) {
      case JobControl::kContinue:
        std::this_thread::yield();
        continue;
      case JobControl::kStop:
        return absl::CancelledError("told to stop");
      case JobControl::kHandBack:
        const std::string path = attempt.work_folder + "/checkpoint";
        EXPECT_OK(WriteFileAtomically(path, "state at step 7"));
        EXPECT_OK(observer->OnCheckpoint(path, 7));
        return absl::AbortedError("handed back");
    }
  }
}

absl::StatusOr<JobOutcome> WriteReport(const JobAttempt& attempt, JobObserver* observer) {
  JobProgress progress;
  progress.phase = "sparse";
  progress.step = 10;
  progress.attempt_steps = 4;  // The others were an earlier attempt's.
  progress.loss = 0.5;
  observer->OnProgress(progress);
  JobOutcome outcome;
  const std::string path = attempt.work_folder + "/report.json";
  EXPECT_OK(WriteFileAtomically(path, "{}"));
  outcome.files.push_back({JobFile::Kind::kReport, "report.json", path});
  outcome.pruned_metrics["accuracy"] = 0.75;
  return outcome;
}

v1::Lease AgentTest::LeaseOf(const std::string& job, FakeCoordinator* coordinator) {
  v1::Lease lease;
  lease.set_job("projects/p/jobs/" + job);
  lease.set_attempt(3);
  lease.set_token("secret");
  v1::CompressionSpec* spec = lease.mutable_spec();
  v1::ModelFile* file = spec->mutable_model()->add_files();
  file->set_path("nets/model.onnx");
  file->set_digest(coordinator->Store("a model"));
  spec->mutable_data()->mutable_train()->mutable_npz()->set_digest(coordinator->Store("the data"));
  v1::Task* task = spec->mutable_task();
  task->set_loss(v1::Task::CROSS_ENTROPY);
  task->set_batch_size(32);
  task->set_epochs(1);
  task->mutable_optimizer()->mutable_sgd();
  task->mutable_learning_rate()->mutable_constant();
  spec->mutable_dense();
  return lease;
}

void AgentTest::RunAgent(FakeCoordinator* coordinator, FakeRunner::Body body, int slots,
                         const std::function<void(Agent*)>& use) {
  absl::StatusOr<std::unique_ptr<ArtifactCache>> cache =
      ArtifactCache::Open(folder_ + "/cache", 1 << 20);
  ASSERT_OK(cache.status());
  prometheus::Registry registry;
  WorkerMetrics metrics(&registry);
  FakeRunner runner(std::move(body));
  AttemptEnvironment environment;
  environment.coordinator = coordinator;
  environment.cache = cache->get();
  environment.runner = &runner;
  environment.metrics = &metrics;
  environment.work_folder = folder_ + "/work";
  environment.worker_id = "w";
  AgentOptions options;
  options.worker_id = "w";
  options.capabilities.set_slots(slots);
  options.backoff = backoff_;
  Agent agent(options, environment);
  std::thread thread([&agent] { agent.Run(); });
  if (use) use(&agent);
  thread.join();
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name == "topiary_training_steps_total") {
      counted_steps_ = family.metric.front().counter.value;
    }
  }
}

v1::SynchronizeResponse Next(absl::Duration wait) {
  v1::SynchronizeResponse response;
  response.mutable_next_report()->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(wait)));
  return response;
}

void Order(const v1::AttemptReport& report, v1::AttemptOrder::Action action,
           v1::SynchronizeResponse* response) {
  v1::AttemptOrder* order = response->add_orders();
  order->set_job(report.job());
  order->set_attempt(report.attempt());
  order->set_action(action);
}

v1::SynchronizeResponse OneJob::Answer(const v1::SynchronizeRequest& request) {
  v1::SynchronizeResponse response = Next();
  for (const v1::AttemptReport& report : request.attempts()) {
    last = report;
    if (report.phase() == v1::AttemptReport::FINISHED) {
      Order(report, v1::AttemptOrder::FORGET, &response);
      done = true;
    } else if (running) {
      running(report, &response);
    }
  }
  if (!leased && request.free_slots() > 0) {
    leased = true;
    *response.add_new_leases() = lease;
  }
  if (done) response.set_drain(true);
  return response;
}

}  // namespace topiary
