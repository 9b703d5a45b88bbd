#include "server/metrics/server_metrics.h"

#include <prometheus/text_serializer.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using testing::HasSubstr;
using testing::Not;

class ServerMetricsTest : public testing::Test {
 protected:
  std::string Text() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  ServerMetrics metrics_{&registry_};
};

TEST_F(ServerMetricsTest, KnownLabelsAreThereFromTheStart) {
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs{state=\"queued\"} 0"));
  EXPECT_THAT(Text(), HasSubstr("topiary_job_attempts_total{outcome=\"lost\"} 0"));
  EXPECT_THAT(Text(),
              HasSubstr("topiary_jobs_submitted_total{method=\"sequential_attention_pp\"} 0"));
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs_submitted_total{method=\"benchmark\"} 0"));
}

TEST_F(ServerMetricsTest, AJobThatEndsIsCountedOnceAndItsDeletionIsNot) {
  metrics_.OnJobChange({{"a", "j"}, JobState::kRunning});
  metrics_.OnJobChange({{"a", "j"}, JobState::kSucceeded});
  metrics_.OnJobChange({{"a", "j"}, JobState::kSucceeded, true});
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs_finished_total{outcome=\"succeeded\"} 1"));
}

TEST_F(ServerMetricsTest, StatesWithoutJobsFallBackToZero) {
  metrics_.SetJobs({{JobState::kQueued, 3}});
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs{state=\"queued\"} 3"));
  metrics_.SetJobs({{JobState::kRunning, 1}});
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs{state=\"queued\"} 0"));
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs{state=\"running\"} 1"));
}

TEST_F(ServerMetricsTest, SlotsAreThoseOfWorkersThatTakeWork) {
  WorkerInfo busy;
  busy.state = WorkerInfo::State::kBusy;
  busy.capabilities.slots = 3;
  busy.jobs = {{"a", "j"}};
  WorkerInfo silent;
  silent.state = WorkerInfo::State::kSilent;
  silent.capabilities.slots = 8;
  metrics_.SetWorkers({busy, silent});
  EXPECT_THAT(Text(), HasSubstr("topiary_worker_slots{state=\"used\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_worker_slots{state=\"free\"} 2"));
  EXPECT_THAT(Text(), HasSubstr("topiary_workers{state=\"silent\"} 1"));
}

TEST_F(ServerMetricsTest, ALeaseThatIsLostIsALostAttempt) {
  metrics_.OnLeaseGranted(Lease(), absl::Seconds(2));
  metrics_.OnLeaseLost({"a", "j"}, 1, "w");
  EXPECT_THAT(Text(), HasSubstr("topiary_lease_events_total{event=\"granted\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_lease_events_total{event=\"lost\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_job_attempts_total{outcome=\"lost\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_job_queue_wait_seconds_sum 2"));
}

TEST_F(ServerMetricsTest, RunTimeIsThatOfJobsThatRanAndEnded) {
  metrics_.OnJobChange({{"a", "j"}, JobState::kQueued});
  metrics_.OnJobChange({{"a", "never ran"}, JobState::kCancelled});
  EXPECT_THAT(Text(), HasSubstr("topiary_job_run_seconds_count 0"));
  metrics_.OnJobChange({{"a", "j"}, JobState::kFailed, false, absl::Seconds(12)});
  metrics_.OnJobChange({{"a", "j"}, JobState::kFailed, /*deleted=*/true});
  EXPECT_THAT(Text(), HasSubstr("topiary_job_run_seconds_sum 12"));
  EXPECT_THAT(Text(), HasSubstr("topiary_job_run_seconds_count 1"));
}

TEST_F(ServerMetricsTest, AttemptsAreCountedByTheirOutcome) {
  metrics_.OnAttemptFinished(Job(), AttemptName(), "w", AttemptOutcome::Kind::kFailed);
  EXPECT_THAT(Text(), HasSubstr("topiary_job_attempts_total{outcome=\"failed\"} 1"));
}

TEST_F(ServerMetricsTest, BytesAndLeaseEventsAddUpAndGaugesStandAtTheLastValue) {
  metrics_.AddUploadedBytes(5);
  metrics_.AddUploadedBytes(7);
  metrics_.AddDownloadedBytes(3);
  metrics_.AddGarbageBytes(11);
  metrics_.OnLeaseRenewed(AttemptName());
  metrics_.OnLeaseRefused(AttemptName(), "w");
  EXPECT_THAT(Text(), HasSubstr("topiary_artifact_bytes_total{direction=\"uploaded\"} 12"));
  EXPECT_THAT(Text(), HasSubstr("topiary_artifact_bytes_total{direction=\"downloaded\"} 3"));
  EXPECT_THAT(Text(), HasSubstr("topiary_artifact_garbage_bytes_total 11"));
  EXPECT_THAT(Text(), HasSubstr("topiary_lease_events_total{event=\"renewed\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_lease_events_total{event=\"refused\"} 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_draining 0"));
  metrics_.SetDraining();
  metrics_.SetWatchers(4);
  metrics_.SetWatchers(2);
  metrics_.SetStoreBytes(1024);
  EXPECT_THAT(Text(), HasSubstr("topiary_draining 1"));
  EXPECT_THAT(Text(), HasSubstr("topiary_watchers 2"));
  EXPECT_THAT(Text(), HasSubstr("topiary_artifact_store_bytes 1024"));
}

TEST_F(ServerMetricsTest, LabelsAreABoundedSet) {
  metrics_.CountSubmitted("sweep");
  EXPECT_THAT(Text(), HasSubstr("topiary_jobs_submitted_total{method=\"sweep\"} 1"));
  metrics_.CountSubmitted("something else");
  metrics_.CountBackgroundError("something else");
  EXPECT_THAT(Text(), Not(HasSubstr("something else")));
}

}  // namespace
}  // namespace topiary
