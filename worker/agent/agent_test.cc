#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/digest.h"
#include "common/file.h"
#include "common/notification.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::HasSubstr;

// Plays the coordinator: a test scripts the answer to each report.
class FakeCoordinator : public Coordinator {
 public:
  using Answer = std::function<absl::StatusOr<v1::SynchronizeResponse>(
      const v1::SynchronizeRequest&, Cancellation*)>;

  explicit FakeCoordinator(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<v1::SynchronizeResponse> Synchronize(const v1::SynchronizeRequest& request,
                                                      absl::Duration,
                                                      Cancellation* cancellation) override {
    return answer_(request, cancellation);
  }

  absl::Status Download(const std::string&, const std::string& digest, const std::string& path,
                        Cancellation*) override {
    MutexLock lock(&mutex_);
    const auto found = stored_.find(digest);
    if (found == stored_.end()) return absl::NotFoundError("no artifact " + digest);
    return WriteFileAtomically(path, found->second);
  }

  absl::StatusOr<v1::Artifact> Upload(const std::string& project, const std::string& path,
                                      v1::ArtifactKind kind, const std::string&, int,
                                      Cancellation*) override {
    absl::StatusOr<std::string> bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    MutexLock lock(&mutex_);
    projects_.push_back(project);
    const std::string digest = Sha256Hex(*bytes);
    v1::Artifact artifact;
    artifact.set_digest(digest);
    artifact.set_size_bytes(bytes->size());
    artifact.set_kind(kind);
    stored_[digest] = *std::move(bytes);
    return artifact;
  }

  std::string Store(const std::string& bytes) {
    MutexLock lock(&mutex_);
    stored_[Sha256Hex(bytes)] = bytes;
    return Sha256Hex(bytes);
  }
  std::vector<std::string> projects() {
    MutexLock lock(&mutex_);
    return projects_;
  }

 private:
  const Answer answer_;
  Mutex mutex_;
  std::map<std::string, std::string> stored_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> projects_ ABSL_GUARDED_BY(mutex_);
};

class FakeRunner : public JobRunner {
 public:
  using Body = std::function<absl::StatusOr<JobOutcome>(const JobAttempt&, JobObserver*)>;
  explicit FakeRunner(Body body) : body_(std::move(body)) {}
  absl::StatusOr<JobOutcome> Run(const JobAttempt& attempt, JobObserver* observer) override {
    return body_(attempt, observer);
  }

 private:
  const Body body_;
};

// Runs until it is told otherwise, as training does.
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

class AgentTest : public testing::Test {
 protected:
  AgentTest()
      : folder_(testing::TempDir() + "/" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
  }

  v1::Lease LeaseOf(const std::string& job, FakeCoordinator* coordinator) {
    v1::Lease lease;
    lease.set_job("projects/p/jobs/" + job);
    lease.set_attempt(3);
    lease.set_token("secret");
    v1::CompressionSpec* spec = lease.mutable_spec();
    v1::ModelFile* file = spec->mutable_model()->add_files();
    file->set_path("nets/model.onnx");
    file->set_digest(coordinator->Store("a model"));
    spec->mutable_data()->mutable_train()->mutable_npz()->set_digest(
        coordinator->Store("the data"));
    v1::Task* task = spec->mutable_task();
    task->set_loss(v1::Task::CROSS_ENTROPY);
    task->set_batch_size(32);
    task->set_epochs(1);
    task->mutable_optimizer()->mutable_sgd();
    task->mutable_learning_rate()->mutable_constant();
    spec->mutable_dense();
    return lease;
  }

  // Runs an agent with `slots` until it returns. Every answer is made by `answer`.
  void RunAgent(FakeCoordinator* coordinator, FakeRunner::Body body, int slots,
                const std::function<void(Agent*)>& use = {}) {
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
    options.backoff.initial = absl::Milliseconds(1);
    options.backoff.maximum = absl::Milliseconds(2);
    Agent agent(options, environment);
    agent_ = &agent;
    std::thread thread([&agent] { agent.Run(); });
    if (use) use(&agent);
    thread.join();
    for (const prometheus::MetricFamily& family : registry.Collect()) {
      if (family.name == "topiary_training_steps_total") {
        counted_steps_ = family.metric.front().counter.value;
      }
    }
  }

  const std::string folder_;
  Agent* agent_ = nullptr;
  double counted_steps_ = -1;  // What the last RunAgent() left in topiary_training_steps_total.
};

v1::SynchronizeResponse Next(absl::Duration wait = absl::Milliseconds(10)) {
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

// Leases one job, keeps the last report of it, forgets it when it has an outcome, then drains.
struct OneJob {
  v1::Lease lease;
  bool leased = false;
  bool done = false;
  v1::AttemptReport last;
  // May change the answer to a report of an attempt that runs.
  std::function<void(const v1::AttemptReport&, v1::SynchronizeResponse*)> running;

  v1::SynchronizeResponse Answer(const v1::SynchronizeRequest& request) {
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
};

TEST_F(AgentTest, AnAttemptIsRunAndItsResultsAreUploaded) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  std::string model;
  std::string data;
  RunAgent(
      &coordinator,
      [&](const JobAttempt& attempt, JobObserver* observer) {
        model = ReadFile(attempt.spec.model_path).value_or("");
        data = ReadFile(std::get<NpzSourceSpec>(attempt.spec.data.train).path).value_or("");
        return WriteReport(attempt, observer);
      },
      1);
  EXPECT_EQ(model, "a model");
  EXPECT_EQ(data, "the data");
  EXPECT_EQ(job.last.token(), "secret");
  EXPECT_EQ(job.last.attempt(), 3);
  EXPECT_EQ(job.last.progress().step(), 10);
  EXPECT_EQ(counted_steps_, 4);
  const v1::JobResult& result = job.last.outcome().succeeded();
  ASSERT_EQ(result.files_size(), 1);
  EXPECT_EQ(result.files(0).digest(), Sha256Hex("{}"));
  EXPECT_EQ(result.files(0).kind(), v1::ResultFile::REPORT);
  EXPECT_EQ(result.pruned_metrics().at("accuracy"), 0.75);
  EXPECT_THAT(coordinator.projects(), testing::Each("projects/p"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ + "/work")) << "work folders must be removed";
}

TEST_F(AgentTest, StopEndsTheAttemptAsStopped) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  job.running = [](const v1::AttemptReport& report, v1::SynchronizeResponse* response) {
    Order(report, v1::AttemptOrder::STOP, response);
  };
  RunAgent(&coordinator, TrainUntilTold, 1);
  EXPECT_TRUE(job.last.outcome().has_stopped());
}

TEST_F(AgentTest, DrainHandsTheAttemptBackWithItsCheckpoint) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  job.running = [](const v1::AttemptReport& report, v1::SynchronizeResponse* response) {
    response->set_drain(report.phase() == v1::AttemptReport::RUNNING);
  };
  RunAgent(&coordinator, TrainUntilTold, 1);
  EXPECT_TRUE(job.last.outcome().has_handed_back());
  EXPECT_EQ(job.last.checkpoint().step(), 7);
  EXPECT_EQ(job.last.checkpoint().digest(), Sha256Hex("state at step 7"));
}

TEST_F(AgentTest, AFaultOfTheSpecIsNotWorthARetry) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> {
        return absl::UnimplementedError("operator Foo of node \xff\xfe");
      },
      1);
  const v1::Failure& failure = job.last.outcome().failed();
  EXPECT_FALSE(failure.retryable());
  EXPECT_EQ(failure.error().code(), static_cast<int>(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(failure.error().message(), HasSubstr("operator Foo of node \\xff\\xfe"));
}

TEST_F(AgentTest, ErrorsNameArtifactsAndNotThisMachinesFiles) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  job.lease.set_checkpoint_digest(coordinator.Store("state at step 7"));
  RunAgent(
      &coordinator,
      [](const JobAttempt& attempt, JobObserver*) -> absl::StatusOr<JobOutcome> {
        return absl::InvalidArgumentError(std::get<NpzSourceSpec>(attempt.spec.data.train).path +
                                          ": no array 'x'; " + attempt.spec.model_path +
                                          ": no graph; " + attempt.checkpoint_path + ": cut; " +
                                          attempt.work_folder + "/report.json: full");
      },
      1);
  EXPECT_EQ(job.last.outcome().failed().error().message(),
            "artifact " + Sha256Hex("the data") +
                ": no array 'x'; model/nets/model.onnx: no graph; " + "artifact " +
                Sha256Hex("state at step 7") + ": cut; work/report.json: full");
}

TEST_F(AgentTest, ATransientFailureIsWorthARetry) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> {
        return absl::InternalError("disk");
      },
      1);
  EXPECT_TRUE(job.last.outcome().failed().retryable());
}

TEST_F(AgentTest, RunningOutOfMemoryFailsTheAttemptNotTheWorker) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> { throw std::bad_alloc(); },
      1);
  EXPECT_EQ(job.last.outcome().failed().error().code(),
            static_cast<int>(absl::StatusCode::kResourceExhausted));
}

TEST_F(AgentTest, AMissingArtifactFailsTheJobAndNamesIt) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  const std::string missing = Sha256Hex("never stored");
  job.lease.mutable_spec()->mutable_data()->mutable_train()->mutable_npz()->set_digest(missing);
  RunAgent(&coordinator, WriteReport, 1);
  EXPECT_EQ(job.last.outcome().failed().error().code(),
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(job.last.outcome().failed().error().message(), HasSubstr(missing));
}

TEST_F(AgentTest, TheNextAttemptGoesOnFromTheCheckpoint) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  job.lease.set_checkpoint_digest(coordinator.Store("state at step 7"));
  job.lease.mutable_determinism_key()->set_threads(4);
  job.lease.mutable_determinism_key()->set_isa("avx2");
  std::string checkpoint;
  int threads = 0;
  std::string isa;
  RunAgent(
      &coordinator,
      [&](const JobAttempt& attempt, JobObserver* observer) {
        checkpoint = ReadFile(attempt.checkpoint_path).value_or("");
        threads = attempt.spec.threads;
        isa = attempt.required_key->isa;
        return WriteReport(attempt, observer);
      },
      1);
  EXPECT_EQ(checkpoint, "state at step 7");
  EXPECT_EQ(threads, 4);
  EXPECT_EQ(isa, "avx2");
}

TEST_F(AgentTest, AttemptsGoOnWhileTheCoordinatorIsAway) {
  OneJob job;
  int silent = 20;
  FakeCoordinator coordinator(
      [&](const auto& request, Cancellation*) -> absl::StatusOr<v1::SynchronizeResponse> {
        if (request.attempts_size() > 0 && silent-- > 0) return absl::UnavailableError("restarts");
        return job.Answer(request);
      });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(&coordinator, WriteReport, 1);
  EXPECT_TRUE(job.last.outcome().has_succeeded());
}

TEST_F(AgentTest, AnOutcomeIsRepeatedUntilItIsForgotten) {
  OneJob job;
  int repeats = 0;
  FakeCoordinator coordinator([&](const auto& request,
                                  Cancellation*) -> absl::StatusOr<v1::SynchronizeResponse> {
    const bool finished =
        request.attempts_size() > 0 && request.attempts(0).phase() == v1::AttemptReport::FINISHED;
    if (finished && ++repeats < 4) return Next();
    return job.Answer(request);
  });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(&coordinator, WriteReport, 1);
  EXPECT_EQ(repeats, 4);
}

TEST_F(AgentTest, EverySlotIsOfferedAndUsed) {
  int most = 0;
  std::map<std::string, bool> done;
  std::deque<v1::Lease> leases;
  FakeCoordinator coordinator([&](const v1::SynchronizeRequest& request, Cancellation*) {
    v1::SynchronizeResponse response = Next();
    most = std::max(most, request.attempts_size());
    EXPECT_LE(request.attempts_size() + request.free_slots(), 2);
    for (const v1::AttemptReport& report : request.attempts()) {
      if (report.phase() == v1::AttemptReport::FINISHED) {
        done[report.job()] = true;
        Order(report, v1::AttemptOrder::FORGET, &response);
      } else if (most == 2) {
        Order(report, v1::AttemptOrder::STOP, &response);
      }
    }
    for (int i = 0; i < request.free_slots() && !leases.empty(); ++i) {
      *response.add_new_leases() = leases.front();
      leases.pop_front();
    }
    response.set_drain(done.size() == 2);
    return response;
  });
  leases = {LeaseOf("j", &coordinator), LeaseOf("k", &coordinator)};
  RunAgent(&coordinator, TrainUntilTold, 2);
  EXPECT_EQ(most, 2);
  EXPECT_EQ(done.size(), 2);
}

TEST_F(AgentTest, AnIdleWorkerLeavesAPollAtOnceToDrain) {
  Notification polling;
  bool said_goodbye = false;
  FakeCoordinator coordinator(
      [&](const v1::SynchronizeRequest& request,
          Cancellation* cancellation) -> absl::StatusOr<v1::SynchronizeResponse> {
        if (request.draining()) {
          said_goodbye = request.free_slots() == 0;
          return Next();
        }
        polling.Notify();
        while (cancellation->WaitFor(absl::Hours(1))) {
        }
        return absl::CancelledError("cancelled");
      });
  RunAgent(&coordinator, WriteReport, 1, [&](Agent* agent) {
    polling.WaitForNotification();
    agent->Drain();
  });
  EXPECT_TRUE(said_goodbye);
}

TEST_F(AgentTest, AbandonStopsWithoutTheCoordinator) {
  OneJob job;
  Notification running;
  FakeCoordinator coordinator(
      [&](const auto& request, Cancellation*) -> absl::StatusOr<v1::SynchronizeResponse> {
        if (request.attempts_size() > 0) return absl::UnavailableError("gone for good");
        return job.Answer(request);
      });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [&](const JobAttempt& attempt, JobObserver* observer) {
        running.Notify();
        return TrainUntilTold(attempt, observer);
      },
      1,
      [&](Agent* agent) {
        running.WaitForNotification();
        agent->Abandon();
      });
}

}  // namespace
}  // namespace topiary
