// Going back to earlier weights once it is settled what is pruned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/prepared_data.h"
#include "worker/pipeline/training_loop.h"
#include "worker/prune/magnitude.h"

namespace topiary {
namespace {

constexpr int64_t kSteps = 30;

class Rewinding : public testing::Test {
 protected:
  void SetUp() override {
    graph_ = ConvGraph();
    const JobSpec spec = SmallJob(NewTestFolder(), graph_);
    task_ = spec.task;
    data_ =
        PrepareData(spec.data, task_.loss, 0, RequirementsOf(graph_, task_.loss).value(), 0, [] {
          return absl::OkStatus();
        }).value();
    rewind_.to_fraction = 0.1;
  }

  absl::StatusOr<std::unique_ptr<TrainingLoop>> NewLoop(const MagnitudeOptions& options) {
    std::vector<MethodLayer> layers;
    for (const PrunableLayer& layer : FindPrunableLayers(graph_)) {
      if (!only_layer_.empty() && layer.weight != only_layer_) continue;
      layers.push_back({layer.weight, std::make_shared<const BlockPartition>(
                                          BlockPartition::Create(layer, block_).value())});
    }
    PruningTarget target;
    target.sparsity = sparsity_;
    return TrainingLoop::Create(
        graph_, &backend_, data_.train, task_,
        NewMagnitudeMethod(options, target, std::move(layers), kSteps).value(), {}, rewind_);
  }
  static void RunTo(TrainingLoop* loop, int64_t step) {
    while (loop->next_step() < step) ASSERT_OK(loop->Step().status());
  }
  // All of them, running statistics too.
  static std::vector<std::vector<float>> ValuesOf(TrainingLoop* loop) {
    std::vector<std::vector<float>> values;
    for (const Parameter& p : loop->store()->parameters()) {
      values.emplace_back(p.value, p.value + p.size);
    }
    return values;
  }
  static MagnitudeOptions OneShot(double at) {
    MagnitudeOptions options;
    options.schedule = MagnitudeOptions::Schedule::kOneShot;
    options.at_fraction = at;
    return options;
  }

  ReferenceBackend backend_;
  Graph graph_;
  TaskSpec task_;
  PreparedData data_;
  RewindSpec rewind_;
  std::string only_layer_;  // Empty: every layer is pruned.
  BlockShape block_ = {4, 4};
  double sparsity_ = 0.75;
};

// One step with a learning rate of nearly 0 shows the weights that it began with.
TEST_F(Rewinding, TakesAllValuesBackWhenTheLastPhaseBegins) {
  rewind_.learning_rate = false;
  task_.learning_rate.schedule = LearningRateSpec::Schedule::kStep;
  task_.learning_rate.step_factor = 1e-30;
  task_.learning_rate.step_milestones = {0.5};
  ASSERT_OK_AND_ASSIGN(const auto loop, NewLoop(OneShot(0.5)));
  RunTo(loop.get(), 3);
  const std::vector<std::vector<float>> early = ValuesOf(loop.get());
  RunTo(loop.get(), 15);
  EXPECT_NE(ValuesOf(loop.get()), early);
  RunTo(loop.get(), 16);
  const std::vector<std::vector<float>> after = ValuesOf(loop.get());
  size_t i = 0;
  for (const Parameter& p : loop->store()->parameters()) {
    // The step itself moved the running statistics on.
    if (p.trainable) {
      EXPECT_EQ(after[i], early[i]) << p.name;
    }
    ++i;
  }
}

// The rate falls to nearly 0 at step 12. From step 15 on it runs from step 3 on again, 27 steps in
// 15, so that it falls at step 20.
TEST_F(Rewinding, TheLearningRateAloneRunsThroughItsScheduleAgain) {
  rewind_.weights = false;
  task_.learning_rate.schedule = LearningRateSpec::Schedule::kStep;
  task_.learning_rate.step_factor = 1e-30;
  task_.learning_rate.step_milestones = {0.4};
  task_.optimizer.momentum = 0;
  ASSERT_OK_AND_ASSIGN(const auto loop, NewLoop(OneShot(0.5)));
  const Parameter* head = loop->store()->Find("head.bias");
  std::vector<int64_t> moving;
  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<float> before(head->value, head->value + head->size);
    RunTo(loop.get(), step + 1);
    if (before != std::vector<float>(head->value, head->value + head->size)) moving.push_back(step);
  }
  EXPECT_THAT(moving,
              testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 17, 18, 19));
}

// Rounds at steps 6, 12 and 18: each goes back to step 3.
TEST_F(Rewinding, GoesBackInEachRoundOfAnIterativeSchedule) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.rounds = 3;
  options.begin_fraction = 0.2;
  options.end_fraction = 0.8;
  rewind_.learning_rate = false;
  task_.learning_rate.schedule = LearningRateSpec::Schedule::kConstant;
  ASSERT_OK_AND_ASSIGN(const auto loop, NewLoop(options));
  RunTo(loop.get(), 3);
  const std::vector<std::vector<float>> early = ValuesOf(loop.get());
  // How far the weights of the first layer are from those of step 3.
  std::vector<double> distances;
  for (int64_t step = 4; step <= kSteps; ++step) {
    RunTo(loop.get(), step);
    const std::vector<float> now = ValuesOf(loop.get())[0];
    double distance = 0;
    for (size_t i = 0; i < now.size(); ++i) distance += std::abs(now[i] - early[0][i]);
    distances.push_back(distance);
  }
  std::vector<int64_t> back;  // Steps that ended closer to it than the one before.
  for (size_t i = 1; i < distances.size(); ++i) {
    if (distances[i] < distances[i - 1] / 2) back.push_back(static_cast<int64_t>(i) + 3);
  }
  EXPECT_THAT(back, testing::ElementsAre(6, 12, 18));
}

TEST_F(Rewinding, ResumesWithTheSameBits) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.rounds = 3;
  ASSERT_OK_AND_ASSIGN(const auto straight, NewLoop(options));
  std::vector<std::pair<int64_t, MethodState>> saved;
  while (straight->next_step() < kSteps) {
    ASSERT_OK(straight->Step().status());
    saved.emplace_back(straight->next_step(), straight->Save());
  }
  for (auto& [step, state] : saved) {
    ASSERT_OK_AND_ASSIGN(const auto resumed, NewLoop(options));
    ASSERT_OK(resumed->Load(state));
    RunTo(resumed.get(), kSteps);
    EXPECT_EQ(ValuesOf(resumed.get()), ValuesOf(straight.get())) << "from step " << step;
  }
}

// Of 4 blocks 3 3 2 2 are kept: with the third round, at step 12, the rate begins to run through
// its schedule for the last time, 27 steps of it in the 18 that are left: it falls at step 28.
TEST_F(Rewinding, ARoundThatTakesNothingNeitherGoesBackNorEndsTheSchedule) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.rounds = 4;
  options.begin_fraction = 0.2;
  options.end_fraction = 0.6;
  only_layer_ = "c2.weight";
  block_ = {18, 8};
  sparsity_ = 0.5;
  task_.optimizer.momentum = 0;
  task_.learning_rate.schedule = LearningRateSpec::Schedule::kStep;
  task_.learning_rate.step_factor = 1e-30;
  task_.learning_rate.step_milestones = {0.9};
  ASSERT_OK_AND_ASSIGN(const auto loop, NewLoop(options));
  const Parameter* head = loop->store()->Find("head.bias");
  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<float> before(head->value, head->value + head->size);
    RunTo(loop.get(), step + 1);
    const std::vector<float> after(head->value, head->value + head->size);
    EXPECT_EQ(before != after, step < 28) << step;
  }
}

TEST_F(Rewinding, RefusesToGoBackToWhatIsYetToCome) {
  const auto is_refused = StatusIs(absl::StatusCode::kInvalidArgument,
                                   testing::HasSubstr("spec.target.rewind.to_fraction"));
  rewind_.to_fraction = 0.6;
  EXPECT_THAT(NewLoop(OneShot(0.5)).status(), is_refused);
  rewind_.to_fraction = 0.5;  // Where it is already.
  EXPECT_THAT(NewLoop(OneShot(0.5)).status(), is_refused);
  MagnitudeOptions once;
  once.schedule = MagnitudeOptions::Schedule::kIterative;
  once.rounds = 1;  // At step 6, though the last phase begins at step 21.
  EXPECT_THAT(NewLoop(once).status(), is_refused);
}

TEST_F(Rewinding, RefusesARunInWhichBlocksGoToTheEnd) {
  MagnitudeOptions options;
  options.end_fraction = 1;
  EXPECT_THAT(NewLoop(options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::AllOf(testing::HasSubstr("spec.target.rewind:"),
                                      testing::HasSubstr("end_fraction"))));
}

}  // namespace
}  // namespace topiary
