#include "worker/features/liao_latty_yang.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/status_matchers.h"
#include "worker/features/mask_network.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kInputs = 11;
constexpr int64_t kFeatures = 5;

// The loss sum_i c_i * mean output i.
TEST(MaskNetwork, GradientsAreThoseOfFiniteDifferences) {
  MaskNetwork network(kInputs, kFeatures, 1);
  const std::vector<float> examples = RandomVector(3 * kInputs, 2);
  const std::vector<float> c = RandomVector(kFeatures, 3);
  const auto loss = [&] {
    const std::vector<double>& outputs = network.Forward(examples);
    double sum = 0;
    for (size_t i = 0; i < outputs.size(); ++i) sum += c[i] * outputs[i];
    return sum;
  };
  loss();
  network.Backward(std::vector<double>(c.begin(), c.end()), examples);
  for (const TrainableState& state : network.trainable_state(1)) {
    const std::vector<float> gradient(state.gradient, state.gradient + state.size);
    for (int64_t i = 0; i < state.size; i += 1 + state.size / 40) {
      // Small enough for no LeakyReLU to bend on the way.
      const float before = state.value[i];
      state.value[i] = before + 1e-3F;
      const double up = loss();
      state.value[i] = before - 1e-3F;
      const double down = loss();
      state.value[i] = before;
      EXPECT_NEAR(gradient[i], (up - down) / 2e-3, 2e-3) << state.name << " " << i;
    }
  }
}

CandidateFeatures Candidates() {
  const MethodLayer layer = LinearLayer("w", kFeatures, 2, {1, 2});
  CandidateFeatures candidates{layer.weight, layer.partition, {}};
  for (int64_t i = 0; i < kFeatures; ++i) candidates.rows.push_back({i});
  candidates.input_width = kFeatures;
  return candidates;
}

// A step of gradient descent in which feature i's mask would raise the loss by slopes[i].
void Step(FeatureSelector& selector, int64_t step, const std::vector<float>& slopes,
          uint64_t batch_seed) {
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  weights.inputs.push_back(
      Tensor::FromVector(Shape({4, kFeatures}), RandomVector(4 * kFeatures, batch_seed)));
  const StepActions actions = selector.BeginStep(step, weights);
  const std::vector<absl::Span<const float>> products = {slopes};
  selector.EndStep(products);
  if (actions.hold_weights) return;
  for (const TrainableState& state : selector.trainable_state()) {
    for (int64_t i = 0; i < state.size; ++i) state.value[i] -= 0.3F * state.gradient[i];
  }
  selector.AfterUpdate(1, weights);
}

TEST(LiaoLattyYang, TheMaskGoesToWhatLowersTheLoss) {
  const auto selector = NewLiaoLattyYang({}, Candidates(), 2, 40).value();
  for (int64_t step = 0; step < 40; ++step) {
    EXPECT_TRUE(selector->chosen().empty());
    Step(*selector, step, {0, -2, 1, -2.5F, 0}, step);
    if (step + 1 == 40) break;
    double sum = 0;
    for (const float scale : selector->scales(0)) sum += scale;
    EXPECT_NEAR(sum, 1, 1e-5);
  }
  ASSERT_EQ(selector->chosen().size(), 2);
  EXPECT_EQ(selector->chosen()[0].feature, 3);
  EXPECT_EQ(selector->chosen()[1].feature, 1);
}

TEST(LiaoLattyYang, HoldsTheWeightsInTheLastTwentieth) {
  const auto selector = NewLiaoLattyYang({}, Candidates(), 2, 40).value();
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  weights.inputs.push_back(Tensor::FromVector(Shape({1, kFeatures}), RandomVector(kFeatures, 1)));
  EXPECT_FALSE(selector->BeginStep(37, weights).hold_weights);
  EXPECT_TRUE(selector->BeginStep(38, weights).hold_weights);
}

TEST(LiaoLattyYang, GoesOnFromItsStateAmidTheStepsThatHoldTheWeights) {
  const std::vector<float> slopes = {0, -2, 1, -2.5F, 0};
  const auto straight = NewLiaoLattyYang({}, Candidates(), 2, 60).value();
  const auto resumed = NewLiaoLattyYang({}, Candidates(), 2, 60).value();
  for (int64_t step = 0; step < 58; ++step) Step(*straight, step, slopes, step);
  ASSERT_OK(resumed->Load(straight->Save()));
  EXPECT_EQ(ScalesOf(*resumed, 0), ScalesOf(*straight, 0));
  for (int64_t step = 58; step < 60; ++step) {
    Step(*straight, step, slopes, step);
    Step(*resumed, step, slopes, step);
  }
  ASSERT_EQ(resumed->chosen().size(), 2);
  EXPECT_EQ(resumed->chosen()[0].feature, straight->chosen()[0].feature);
  EXPECT_EQ(resumed->chosen()[0].score, straight->chosen()[0].score);
}

TEST(LiaoLattyYang, AStateThatIsRefusedChangesNothing) {
  const std::vector<float> slopes = {0, -2, 1, -2.5F, 0};
  const auto selector = NewLiaoLattyYang({}, Candidates(), 2, 60).value();
  const auto other = NewLiaoLattyYang({}, Candidates(), 2, 60).value();
  for (int64_t step = 0; step < 5; ++step) Step(*other, step, slopes, step);
  const TrainableState weights = selector->trainable_state()[0];
  const std::vector<float> before(weights.value, weights.value + weights.size);
  MethodState state = other->Save();
  state.find("selection_step")->second = Tensor::FromVector<int64_t>(Shape({1}), {60});
  EXPECT_THAT(selector->Load(state), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(std::vector<float>(weights.value, weights.value + weights.size), before);
}

TEST(LiaoLattyYang, RefusesSeveralInputsAndOptionsOutOfRange) {
  CandidateFeatures candidates = Candidates();
  EXPECT_THAT(NewLiaoLattyYang({0, 0}, candidates, 2, 40).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("mask_learning_rate")));
  candidates.input_width = 0;
  EXPECT_THAT(NewLiaoLattyYang({}, candidates, 2, 40).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("one input")));
}

}  // namespace
}  // namespace topiary
