#include "worker/features/omp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CandidateFeatures Candidates(int64_t features) {
  const MethodLayer layer = LinearLayer("w", features, 2, {1, 2});
  CandidateFeatures candidates{layer.weight, layer.partition, {}};
  for (int64_t i = 0; i < features; ++i) candidates.rows.push_back({i});
  return candidates;
}

std::vector<int64_t> Features(const FeatureSelector& selector) {
  std::vector<int64_t> features;
  for (const ChosenFeature& choice : selector.chosen()) features.push_back(choice.feature);
  return features;
}

// A step whose gradient of the weight, stored [2][features], is given. True: it held the weights.
bool Step(FeatureSelector& selector, int64_t step, std::vector<float> gradient) {
  FakeWeights weights({std::vector<float>(gradient.size(), 1.0F)});
  weights.gradients = {std::move(gradient)};
  const bool holds = selector.BeginStep(step, weights).hold_weights;
  selector.AfterBackward(weights);
  if (!holds) selector.AfterUpdate(0.1, weights);
  return holds;
}

// Gradients are summed as vectors: those of feature 0 cancel, those of feature 2 add up.
TEST(Omp, ChoosesByTheNormOfTheGradientOfItsLastBatches) {
  const auto selector = NewOmp({1, 2}, Candidates(3), 2, 12).value();
  for (int64_t step = 0; step < 4; ++step) {
    EXPECT_FALSE(Step(*selector, step, {0, 9, 0, 0, 9, 0}));
    EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(0, 0, 0));
  }
  EXPECT_TRUE(Step(*selector, 4, {5, 1, 3, -5, 1, 4}));
  EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(1e-3F, 1e-3F, 1e-3F));
  EXPECT_THAT(Features(*selector), ElementsAre());
  EXPECT_TRUE(Step(*selector, 5, {-5, 1, 3, 5, 1, 4}));
  EXPECT_THAT(Features(*selector), ElementsAre(2));
  EXPECT_FLOAT_EQ(selector->chosen()[0].score, 5) << "a 3-4-5 triangle, the mean of two batches";
  EXPECT_FALSE(Step(*selector, 6, {0, 0, 0, 0, 0, 0}));
  EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(0, 0, 1));
  for (int64_t step = 7; step < 12; ++step) Step(*selector, step, {1, 2, 9, 1, 2, 9});
  EXPECT_THAT(Features(*selector), ElementsAre(2, 1));
}

TEST(Omp, HoldsTheWeightsForHalfOfAShortPhase) {
  const auto selector = NewOmp({1, 10}, Candidates(3), 1, 5).value();
  std::vector<bool> held;
  for (int64_t step = 0; step < 5; ++step)
    held.push_back(Step(*selector, step, {1, 2, 3, 0, 0, 0}));
  EXPECT_THAT(held, ElementsAre(false, false, false, true, true));
  EXPECT_THAT(Features(*selector), ElementsAre(2));
}

TEST(Omp, GoesOnFromItsStateAmidTheBatchesOfAChoice) {
  const auto straight = NewOmp({1, 3}, Candidates(3), 1, 6).value();
  const auto resumed = NewOmp({1, 3}, Candidates(3), 1, 6).value();
  for (int64_t step = 0; step < 4; ++step) Step(*straight, step, {0, 0, 7, 0, 0, 0});
  ASSERT_OK(resumed->Load(straight->Save()));
  for (int64_t step = 4; step < 6; ++step) {
    Step(*straight, step, {0, 3, 0, 0, 0, 0});
    Step(*resumed, step, {0, 3, 0, 0, 0, 0});
  }
  EXPECT_THAT(Features(*straight), ElementsAre(2));
  EXPECT_EQ(Features(*resumed), Features(*straight));
  EXPECT_EQ(resumed->chosen()[0].score, straight->chosen()[0].score);
}

TEST(Omp, RefusesNoBatches) {
  EXPECT_THAT(NewOmp({1, 0}, Candidates(3), 1, 6).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gradient_batches is 0")));
}

}  // namespace
}  // namespace topiary
