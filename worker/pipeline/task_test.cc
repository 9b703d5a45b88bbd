#include "worker/pipeline/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

struct MetricCase {
  MetricSpec metric;
  const char* name;
};

class MetricNamed : public testing::TestWithParam<MetricCase> {};

TEST_P(MetricNamed, AsTheContractNamesIt) {
  EXPECT_EQ(MetricName(GetParam().metric), GetParam().name);
  EXPECT_NE(NewMetricOf(GetParam().metric), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Metrics, MetricNamed,
                         testing::Values(MetricCase{MetricSpec::kAccuracy, "accuracy"},
                                         MetricCase{MetricSpec::kTop5Accuracy, "top5_accuracy"},
                                         MetricCase{MetricSpec::kLogLoss, "log_loss"},
                                         MetricCase{MetricSpec::kAuc, "auc"},
                                         MetricCase{MetricSpec::kMeanSquaredError,
                                                    "mean_squared_error"},
                                         MetricCase{MetricSpec::kR2, "r2"}));

TEST(Task, MetricsDefaultToThoseOfTheLoss) {
  EXPECT_THAT(MetricsOrDefaults({}, LossSpec::kBinaryCrossEntropy),
              testing::ElementsAre(MetricSpec::kAccuracy, MetricSpec::kLogLoss, MetricSpec::kAuc));
  EXPECT_THAT(MetricsOrDefaults({MetricSpec::kR2}, LossSpec::kMeanSquaredError),
              testing::ElementsAre(MetricSpec::kR2));
}

TEST(Task, EpochsAreStepsTimesBatches) {
  TaskSpec task;
  task.epochs = 3;
  EXPECT_THAT(TotalSteps(task, 50), IsOkAndHolds(150));
}

TEST(Task, StepsGoBeforeEpochs) {
  TaskSpec task;
  task.epochs = 0;
  task.steps = 7;
  EXPECT_THAT(TotalSteps(task, 50), IsOkAndHolds(7));
}

TEST(Task, ALengthThatOverflowsIsRefused) {
  TaskSpec task;
  task.epochs = INT64_MAX / 2;
  EXPECT_THAT(TotalSteps(task, 50), StatusIs(absl::StatusCode::kInvalidArgument));
  task.epochs = 0;
  EXPECT_THAT(TotalSteps(task, 50), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Task, VectorsDoNotDecayAndAdamHasNoMomentum) {
  OptimizerSpec spec;
  spec.kind = OptimizerSpec::Kind::kAdam;
  spec.weight_decay = 0.5;
  const OptimizerOptions options = OptimizerOptionsOf(spec);
  EXPECT_FALSE(options.decay_vectors);
  EXPECT_EQ(options.momentum, 0);
  EXPECT_EQ(options.weight_decay, 0.5F);
}

TEST(Task, NamesMethods) {
  EXPECT_EQ(MethodName(DenseOptions()), "dense");
  EXPECT_EQ(MethodName(EvaluateSpec()), "evaluate");
  EXPECT_EQ(MethodName(BenchmarkSpec()), "benchmark");
  EXPECT_EQ(MethodName(MagnitudeOptions()), "magnitude");
  EXPECT_EQ(MethodName(SequentialAttentionPlusPlusOptions()), "sequential_attention_pp");
}

}  // namespace
}  // namespace topiary
