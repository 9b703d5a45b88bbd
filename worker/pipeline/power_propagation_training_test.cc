// PowerPropagation through the training loop: what a step of gradient descent changes is the
// gradient of the loss by what is trained.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/prepared_data.h"
#include "worker/pipeline/task.h"
#include "worker/pipeline/training_loop.h"
#include "worker/prune/dense_method.h"
#include "worker/prune/power_propagation.h"

namespace topiary {
namespace {

constexpr float kLearningRate = 0.25F;

class PowerPropagationTraining : public testing::TestWithParam<PowerParametrization> {
 protected:
  PowerPropagationTraining() {
    GraphBuilder b({8});
    const std::string hidden = b.Add("Tanh", {b.Linear("fc1", "x", 8, 12)});
    graph_ = b.Finish(b.Linear("head", hidden, 12, 3));
    const JobSpec spec = SmallJob(NewTestFolder(), graph_);
    task_ = spec.task;
    task_.optimizer.momentum = 0;
    task_.learning_rate.schedule = LearningRateSpec::Schedule::kConstant;
    task_.learning_rate.base = kLearningRate;
    data_ =
        PrepareData(spec.data, task_.loss, 0, RequirementsOf(graph_, task_.loss).value(), 0, [] {
          return absl::OkStatus();
        }).value();
  }

  std::unique_ptr<TrainingLoop> NewLoop(const Graph& graph, std::unique_ptr<Method> method) {
    return TrainingLoop::Create(graph, &backend_, data_.train, task_, std::move(method), {})
        .value();
  }

  // Of the first batch, with `theta` as weights of fc1.
  double LossOf(const std::vector<float>& theta) {
    Graph graph = graph_.Clone();
    const absl::Span<float> values = graph.FindInitializer("fc1.weight")->value.span<float>();
    std::copy(theta.begin(), theta.end(), values.begin());
    return NewLoop(graph, NewDenseMethod(30).value())->Step().value().loss;
  }

  ReferenceBackend backend_;
  Graph graph_;
  TaskSpec task_;
  PreparedData data_;
};

TEST_P(PowerPropagationTraining, AStepOfDescentFollowsFiniteDifferencesOfTheLoss) {
  const PrunableLayer layer = FindPrunableLayers(graph_).at(0);
  ASSERT_EQ(layer.weight, "fc1.weight");
  const auto partition =
      std::make_shared<const BlockPartition>(BlockPartition::Create(layer, {4, 4}).value());
  PowerPropagationOptions options;
  options.power = GetParam();
  const auto loop =
      NewLoop(graph_, NewPowerPropagation(options, {}, {{layer.weight, partition}}, 30).value());
  const absl::Span<const float> given = graph_.FindInitializer(layer.weight)->value.span<float>();
  std::vector<float> phi(given.begin(), given.end());
  options.power.Invert(*partition, absl::MakeSpan(phi));
  ASSERT_OK(loop->Step().status());
  const float* stepped = loop->store()->Find(layer.weight)->value;

  const Support live(partition->block_count(), 1);
  std::vector<float> theta(phi.size());
  const auto loss = [&] {
    options.power.Apply(*partition, live, phi, absl::MakeSpan(theta));
    return LossOf(theta);
  };
  double largest = 0;
  for (size_t i = 0; i < phi.size(); ++i) {
    const float kept = phi[i];
    phi[i] = kept + 1.0F / 128;
    const double up = loss();
    phi[i] = kept - 1.0F / 128;
    const double numeric = (up - loss()) * 64;
    phi[i] = kept;
    EXPECT_NEAR((kept - stepped[i]) / kLearningRate, numeric, 2e-4) << i;
    largest = std::max(largest, std::abs(numeric));
  }
  EXPECT_GT(largest, 0.01) << "the case has no gradient to speak of";
}

// The first batch sees the weights given.
TEST_P(PowerPropagationTraining, StartsWithTheDenseLoss) {
  const PrunableLayer layer = FindPrunableLayers(graph_).at(0);
  const auto partition =
      std::make_shared<const BlockPartition>(BlockPartition::Create(layer, {4, 4}).value());
  PowerPropagationOptions options;
  options.power = GetParam();
  const auto loop =
      NewLoop(graph_, NewPowerPropagation(options, {}, {{layer.weight, partition}}, 30).value());
  const auto dense = NewLoop(graph_, NewDenseMethod(30).value());
  EXPECT_NEAR(loop->Step().value().loss, dense->Step().value().loss, 1e-5);
}

std::string FormName(const testing::TestParamInfo<PowerParametrization>& info) {
  const char* const names[] = {"Square", "Cube", "Block"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(
    Forms, PowerPropagationTraining,
    testing::Values(PowerParametrization{PowerParametrization::Form::kElement, 2},
                    PowerParametrization{PowerParametrization::Form::kElement, 3},
                    PowerParametrization{PowerParametrization::Form::kBlock, 2}),
    FormName);

}  // namespace
}  // namespace topiary
