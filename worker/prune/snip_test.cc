#include "worker/prune/snip.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 20;

// 150 and 104 blocks.
std::vector<MethodLayer> TwoLayers() {
  return {LinearLayer("fc1", 40, 60, {4, 4}), LinearLayer("fc2", 30, 50, {4, 4})};
}

std::unique_ptr<Method> SnipOver(int64_t batches, BudgetKind budget = BudgetKind::kUniform) {
  PruningTarget target;
  target.sparsity = 0.9;
  target.budget = budget;
  SnipOptions options;
  options.batches = batches;
  return NewSnip(options, target, TwoLayers(), kSteps).value();
}

// The inner products of layer `layer` in step `step`.
std::vector<float> Products(int layer, int64_t step) {
  return RandomVector(layer == 0 ? 150 : 104, 10 * layer + step);
}

// Runs steps [begin, end) as the training loop does; inner products come in steps that hold the
// weights alone.
void RunSteps(Method* method, int64_t begin, int64_t end) {
  FakeWeights weights({});
  for (int64_t step = begin; step < end; ++step) {
    if (!method->BeginStep(step, weights).hold_weights) continue;
    const std::vector<float> first = Products(0, step);
    const std::vector<float> second = Products(1, step);
    method->EndStep({first, second});
  }
}

TEST(Snip, HoldsTheWeightsWhileItMeasuresAndTrainsThen) {
  const auto method = SnipOver(3);
  FakeWeights weights({});
  const std::vector<float> first = Products(0, 0);
  const std::vector<float> second = Products(1, 0);
  for (int64_t step = 0; step < kSteps; ++step) {
    const StepActions actions = method->BeginStep(step, weights);
    EXPECT_EQ(actions.hold_weights, step < 3) << step;
    EXPECT_EQ(LiveBlocks(method->support(0)), step < 3 ? 150 : 15) << step;
    EXPECT_EQ(LiveBlocks(method->support(1)), step < 3 ? 104 : 10) << step;
    if (actions.hold_weights) method->EndStep({first, second});
  }
  EXPECT_EQ(weights.reads, 0);
  EXPECT_FALSE(method->wants_inner_products());
}

// |g1 + g2| and not |g1| + |g2|: the sensitivity to the loss over both batches.
TEST(Snip, KeepsTheBlocksOfLargestAbsoluteSumOfInnerProducts) {
  const auto method = SnipOver(2);
  RunSteps(method.get(), 0, kSteps);
  for (int layer = 0; layer < 2; ++layer) {
    std::vector<float> scores = Products(layer, 0);
    const std::vector<float> second = Products(layer, 1);
    for (size_t b = 0; b < scores.size(); ++b) scores[b] = std::abs(scores[b] + second[b]);
    EXPECT_EQ(method->support(layer), SelectTopBlocks(scores, {}, layer == 0 ? 15 : 10));
  }
}

TEST(Snip, RanksOverAllLayersWithAGlobalBudgetAsThePaperDoes) {
  const auto method = SnipOver(1, BudgetKind::kGlobal);
  RunSteps(method.get(), 0, kSteps);
  std::vector<std::vector<float>> scores = {Products(0, 0), Products(1, 0)};
  for (std::vector<float>& layer : scores) {
    for (float& score : layer) score = std::abs(score);
  }
  const std::vector<Support> expected = SelectTopBlocksGlobally(scores, {}, 25);
  EXPECT_EQ(method->support(0), expected[0]);
  EXPECT_EQ(method->support(1), expected[1]);
}

TEST(Snip, ResumesInsideTheMeasurementAndAfterIt) {
  const auto straight = SnipOver(4);
  RunSteps(straight.get(), 0, kSteps);
  for (const int64_t step : {0, 2, 4, 10}) {
    const auto first = SnipOver(4);
    RunSteps(first.get(), 0, step);
    const auto second = SnipOver(4);
    ASSERT_OK(second->Load(first->Save()));
    RunSteps(second.get(), step, kSteps);
    EXPECT_EQ(second->support(0), straight->support(0)) << step;
    EXPECT_EQ(second->support(1), straight->support(1)) << step;
  }
}

TEST(Snip, RefusesTheStateOfAnotherLayer) {
  const auto method = SnipOver(1);
  MethodState state = method->Save();
  state.erase("inner_products/fc2");
  EXPECT_THAT(method->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'inner_products/fc2'")));
}

TEST(Snip, RefusesToMeasureOverNothingOrOverTheWholeRun) {
  for (const int64_t batches : {int64_t{0}, kSteps}) {
    SnipOptions options;
    options.batches = batches;
    EXPECT_THAT(NewSnip(options, {}, TwoLayers(), kSteps).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("snip.batches")));
  }
}

}  // namespace
}  // namespace topiary
