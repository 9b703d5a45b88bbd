#include "worker/agent/worker_metrics.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class WorkerMetricsTest : public testing::Test {
 protected:
  std::string Text() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  prometheus::Registry registry_;
  WorkerMetrics metrics_{&registry_};
};

TEST_F(WorkerMetricsTest, KnownLabelsAreThereFromTheStart) {
  EXPECT_THAT(Text(), AllOf(HasSubstr("topiary_worker_attempts_total{outcome=\"handed_back\"} 0"),
                            HasSubstr("topiary_worker_checkpoints_total{result=\"failed\"} 0"),
                            HasSubstr("topiary_training_samples_total 0")));
}

TEST_F(WorkerMetricsTest, TrainingAddsUpAndTheLastReportStands) {
  JobProgress progress;
  progress.loss = 2.5;
  progress.sparsity = 0.25;
  metrics_.OnTraining(3, 96, progress);
  progress.loss = 1.5;
  progress.sparsity.reset();
  metrics_.OnTraining(2, 64, progress);
  metrics_.OnTraining(0, 0, JobProgress());
  EXPECT_THAT(Text(), AllOf(HasSubstr("topiary_training_steps_total 5\n"),
                            HasSubstr("topiary_training_samples_total 160\n"),
                            HasSubstr("topiary_training_loss 1.5\n"),
                            HasSubstr("topiary_sparsity_ratio 0.25\n")));
}

TEST_F(WorkerMetricsTest, WhatHappensIsCountedByHowItWent) {
  metrics_.OnCheckpoint(true);
  metrics_.OnCheckpoint(true);
  metrics_.OnCheckpoint(false);
  metrics_.OnSynchronize(absl::OkStatus());
  metrics_.OnSynchronize(absl::UnavailableError("no one there"));
  v1::Outcome outcome;
  metrics_.OnOutcome(outcome);  // None is a failure.
  outcome.mutable_succeeded();
  metrics_.OnOutcome(outcome);
  outcome.mutable_stopped();
  metrics_.OnOutcome(outcome);
  EXPECT_THAT(Text(), AllOf(HasSubstr("topiary_worker_checkpoints_total{result=\"uploaded\"} 2"),
                            HasSubstr("topiary_worker_checkpoints_total{result=\"failed\"} 1"),
                            HasSubstr("topiary_worker_synchronize_total{result=\"answered\"} 1"),
                            HasSubstr("topiary_worker_synchronize_total{result=\"failed\"} 1")));
  EXPECT_THAT(Text(), AllOf(HasSubstr("topiary_worker_attempts_total{outcome=\"failed\"} 1"),
                            HasSubstr("topiary_worker_attempts_total{outcome=\"succeeded\"} 1"),
                            HasSubstr("topiary_worker_attempts_total{outcome=\"stopped\"} 1")));
}

TEST_F(WorkerMetricsTest, SlotsAndCacheAreWhatTheyAreNow) {
  metrics_.SetSlots(1, 3);
  metrics_.SetSlots(2, 2);
  metrics_.SetCacheBytes(4096);
  EXPECT_THAT(Text(), AllOf(HasSubstr("topiary_slots{state=\"busy\"} 2"),
                            HasSubstr("topiary_slots{state=\"free\"} 2"),
                            HasSubstr("topiary_worker_cache_bytes 4096")));
}

}  // namespace
}  // namespace topiary
