#include "worker/agent/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <variant>

#include "common/digest.h"
#include "common/file.h"
#include "common/notification.h"
#include "worker/agent/testing/agent_fixture.h"

namespace topiary {
namespace {

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

TEST_F(AgentTest, AWorkerWithAnAttemptTriesAgainAsSoonAsItWouldReport) {
  backoff_.initial = backoff_.maximum = absl::Hours(1);
  OneJob job;
  int silent = 3;
  FakeCoordinator coordinator(
      [&](const auto& request, Cancellation*) -> absl::StatusOr<v1::SynchronizeResponse> {
        if (request.attempts_size() > 0 && silent-- > 0) return absl::UnavailableError("restarts");
        return job.Answer(request);
      });
  job.lease = LeaseOf("j", &coordinator);
  job.running = [](const v1::AttemptReport& report, v1::SynchronizeResponse* response) {
    Order(report, v1::AttemptOrder::STOP, response);
  };
  RunAgent(&coordinator, TrainUntilTold, 1);
  EXPECT_TRUE(job.last.outcome().has_stopped());
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
