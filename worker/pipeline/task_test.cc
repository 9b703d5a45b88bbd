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

TEST(Task, TakesTheMethodOverWithItsOptions) {
  SequentialAttentionPlusPlusOptions attention;
  attention.logits_learning_rate_multiplier = 3;
  MethodOptions options = MethodOptionsOf(attention);
  EXPECT_EQ(options.name, "sequential_attention_pp");
  EXPECT_EQ(options.sequential_attention_pp.logits_learning_rate_multiplier, 3);
  MagnitudeOptions magnitude;
  magnitude.end_fraction = 0.6;
  options = MethodOptionsOf(magnitude);
  EXPECT_EQ(options.name, "magnitude");
  EXPECT_EQ(options.magnitude.end_fraction, 0.6);
  AcDcOptions ac_dc;
  ac_dc.restart_at_zero = false;
  options = MethodOptionsOf(ac_dc);
  EXPECT_EQ(options.name, "ac_dc");
  EXPECT_FALSE(options.ac_dc.restart_at_zero);
  SnipOptions snip;
  snip.batches = 4;
  options = MethodOptionsOf(snip);
  EXPECT_EQ(options.name, "snip");
  EXPECT_EQ(options.snip.batches, 4);
  MovementOptions movement;
  movement.end_fraction = 0.6;
  options = MethodOptionsOf(movement);
  EXPECT_EQ(options.name, "movement");
  EXPECT_EQ(options.movement.end_fraction, 0.6);
  IhtOptions iht;
  iht.end_fraction = 0.5;
  options = MethodOptionsOf(iht);
  EXPECT_EQ(options.name, "iht");
  EXPECT_EQ(options.iht.end_fraction, 0.5);
  GroupLassoOptions lasso;
  lasso.strength = 0.5;
  options = MethodOptionsOf(lasso);
  EXPECT_EQ(options.name, "group_lasso");
  EXPECT_EQ(options.group_lasso.strength, 0.5);
  RigLOptions rigl;
  rigl.update_steps = 7;
  options = MethodOptionsOf(rigl);
  EXPECT_EQ(options.name, "rigl");
  EXPECT_EQ(options.rigl.update_steps, 7);
  PowerPropagationOptions power;
  power.power.exponent = 4;
  options = MethodOptionsOf(power);
  EXPECT_EQ(options.name, "power_propagation");
  EXPECT_EQ(options.power_propagation.power.exponent, 4);
  RandomPruningOptions random;
  random.seed = 7;
  options = MethodOptionsOf(random);
  EXPECT_EQ(options.name, "random");
  EXPECT_EQ(options.random.seed, 7);
}

TEST(Task, NamesEveryMethod) {
  EXPECT_EQ(MethodName(DenseSpec()), "dense");
  EXPECT_EQ(MethodName(EvaluateSpec()), "evaluate");
  EXPECT_EQ(MethodName(BenchmarkSpec()), "benchmark");
  EXPECT_EQ(MethodName(MagnitudeOptions()), "magnitude");
  EXPECT_EQ(MethodName(SequentialAttentionPlusPlusOptions()), "sequential_attention_pp");
}

}  // namespace
}  // namespace topiary
