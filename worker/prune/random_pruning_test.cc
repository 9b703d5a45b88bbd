#include "worker/prune/random_pruning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 10;

std::unique_ptr<Method> RandomWith(const RandomPruningOptions& options,
                                   BudgetKind budget = BudgetKind::kUniform) {
  PruningTarget target;
  target.sparsity = 0.75;
  target.budget = budget;
  return NewRandomPruning(options, target,
                          {LinearLayer("fc1", 40, 40, {4, 4}), LinearLayer("fc2", 40, 40, {4, 4})},
                          kSteps)
      .value();
}

// Both layers have 100 blocks.
Support SupportOf(uint64_t seed, int layer) {
  RandomPruningOptions options;
  options.seed = seed;
  const auto method = RandomWith(options);
  FakeWeights weights({});
  method->BeginStep(0, weights);
  return method->support(layer);
}

TEST(RandomPruning, KeepsAsManyBlocksAsAskedForWithoutLookingAtWeights) {
  FakeWeights weights({});
  const auto method = RandomWith({});
  EXPECT_EQ(method->BeginStep(0, weights).changed_blocks, 150);
  EXPECT_EQ(LiveBlocks(method->support(0)), 25);
  EXPECT_EQ(LiveBlocks(method->support(1)), 25);
  EXPECT_EQ(weights.reads, 0);
}

TEST(RandomPruning, SeedAndLayerDecideWhichBlocksStay) {
  EXPECT_EQ(SupportOf(1, 0), SupportOf(1, 0));
  EXPECT_NE(SupportOf(1, 0), SupportOf(2, 0));
  EXPECT_NE(SupportOf(1, 0), SupportOf(1, 1));
}

// Each block stays in a quarter of the draws: 100 of 400, with a deviation of 8.7.
TEST(RandomPruning, FavoursNoBlock) {
  constexpr int kDraws = 400;
  std::vector<int> stays(100);
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    const Support support = SupportOf(seed, 0);
    for (size_t b = 0; b < support.size(); ++b) stays[b] += support[b];
  }
  for (const int count : stays) {
    EXPECT_GT(count, 55);
    EXPECT_LT(count, 145);
  }
}

TEST(RandomPruning, IsDenseUntilItsFractionAndThenNeverChanges) {
  RandomPruningOptions options;
  options.at_fraction = 0.3;
  const auto method = RandomWith(options);
  FakeWeights weights({});
  Support chosen;
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    EXPECT_EQ(LiveBlocks(method->support(0)), step < 3 ? 100 : 25) << step;
    if (step == 3) chosen = method->support(0);
  }
  EXPECT_EQ(method->support(0), chosen);
}

TEST(RandomPruning, LayersShareAGlobalBudget) {
  const auto method = RandomWith({}, BudgetKind::kGlobal);
  FakeWeights weights({});
  method->BeginStep(0, weights);
  EXPECT_EQ(CountBlocks(*method).live, 50);
}

TEST(RandomPruning, RefusesAFractionOutOfRange) {
  for (const double at : {-0.1, 1.0}) {
    RandomPruningOptions options;
    options.at_fraction = at;
    EXPECT_THAT(NewRandomPruning(options, {}, {LinearLayer("fc", 8, 8, {4, 4})}, kSteps).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("random.at_fraction")));
  }
}

}  // namespace
}  // namespace topiary
