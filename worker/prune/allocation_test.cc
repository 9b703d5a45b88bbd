#include "worker/prune/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// Costs as much as it has blocks.
BudgetedLayer Layer(int64_t blocks, int64_t least = 1, int64_t most = 0) {
  return {blocks, least, most == 0 ? blocks : most,
          [](int64_t kept) { return static_cast<double>(kept); }};
}

TEST(UniformAllocation, GivesAllTheSameDensity) {
  ASSERT_OK_AND_ASSIGN(const Allotment allotment,
                       Allot(*NewUniformAllocation(2), {Layer(1000), Layer(200)}, 120));
  EXPECT_THAT(allotment.kept, ElementsAre(100, 20));
  EXPECT_EQ(allotment.cost, 120);
}

TEST(UniformAllocation, WhatBoundedLayersLeaveGoesToTheOthers) {
  // At a density of 0.1 the first would keep 100.
  ASSERT_OK_AND_ASSIGN(
      const Allotment low,
      Allot(*NewUniformAllocation(3), {Layer(1000, 1, 40), Layer(400), Layer(200)}, 160));
  EXPECT_THAT(low.kept, ElementsAre(40, 80, 40));
  ASSERT_OK_AND_ASSIGN(
      const Allotment high,
      Allot(*NewUniformAllocation(3), {Layer(1000, 130), Layer(400), Layer(200)}, 160));
  EXPECT_THAT(high.kept, ElementsAre(130, 20, 10));
}

TEST(Allot, WhatIsLessThanTheLeastIsRefusedWithFigures) {
  EXPECT_THAT(
      Allot(*NewUniformAllocation(2), {Layer(10, 3), Layer(10, 2)}, 4).status(),
      StatusIs(absl::StatusCode::kOutOfRange, AllOf(HasSubstr("4 is less"), HasSubstr("the 5 "))));
  EXPECT_THAT(Allot(*NewUniformAllocation(2), {Layer(10, 3), Layer(10, 2)}, 5)->kept,
              ElementsAre(3, 2));
}

TEST(Allot, WhatIsEnoughForAllLeavesAllDense) {
  EXPECT_THAT(
      Allot(*NewErkAllocation({Shape({8, 8}), Shape({4, 4})}), {Layer(10), Layer(10, 1, 7)}, 100)
          ->kept,
      ElementsAre(10, 7));
}

// At one share all are due for their next block.
TEST(Allot, LayersThatAreAlikeGetAllThatFits) {
  const std::vector<BudgetedLayer> layers(24, Layer(100));
  const std::vector<Shape> extents(24, Shape({160, 160}));
  for (const bool erk : {false, true}) {
    const auto allocation = erk ? NewErkAllocation(extents) : NewUniformAllocation(24);
    for (const int budget : {24, 25, 36, 47, 48, 1000, 2399, 2400}) {
      ASSERT_OK_AND_ASSIGN(const Allotment allotment, Allot(*allocation, layers, budget));
      EXPECT_EQ(allotment.cost, budget);
      EXPECT_EQ(std::accumulate(allotment.kept.begin(), allotment.kept.end(), int64_t{0}), budget);
      EXPECT_LE(allotment.kept.front() - allotment.kept.back(), 1);
    }
  }
}

// The first takes what it can, and the cheaper one behind it does not overtake it: with a little
// more it would lose its block again.
TEST(Allot, MoreBudgetTakesNoBlockFromALayer) {
  std::vector<BudgetedLayer> layers(2, Layer(2));
  layers[0].cost = [](int64_t kept) { return 5.0 * static_cast<double>(kept); };
  const auto allocation = NewUniformAllocation(2);
  EXPECT_THAT(Allot(*allocation, layers, 7)->kept, ElementsAre(1, 1));
  EXPECT_THAT(Allot(*allocation, layers, 11)->kept, ElementsAre(2, 1));
  EXPECT_THAT(Allot(*allocation, layers, 12)->kept, ElementsAre(2, 2));
}

// Evci et al. (2020): 1 - (n_in + n_out + w + h) / (n_in n_out w h) is the sparsity up to a factor.
TEST(ErkAllocation, DensitiesAreInProportionToTheEquation) {
  const std::vector<Shape> extents = {Shape({64, 32, 3, 3}), Shape({128, 64}), Shape({256, 128})};
  const double factors[] = {102.0 / (64 * 32 * 9), 192.0 / (128 * 64), 384.0 / (256 * 128)};
  const auto allocation = NewErkAllocation(extents);
  const std::vector<double> densities = allocation->DensitiesAt(0.05);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(densities[i] / densities[0], factors[i] / factors[0], 1e-12) << i;
  }
  EXPECT_THAT(allocation->DensitiesAt(1), ElementsAre(1, 1, 1));
}

TEST(ErkAllocation, WhatADenseLayerCannotTakeGoesToTheOthers) {
  // By the equation alone the small layer would keep more than it has.
  const std::vector<Shape> extents = {Shape({1024, 1024}), Shape({512, 512}), Shape({16, 16})};
  std::vector<BudgetedLayer> layers = {Layer(4096), Layer(1024), Layer(1)};
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].block_count = layers[i].max_kept = extents[i].element_count();
  }
  const double budget = 0.1 * (1024 * 1024 + 512 * 512 + 256);
  ASSERT_OK_AND_ASSIGN(const Allotment allotment,
                       Allot(*NewErkAllocation(extents), layers, budget));
  EXPECT_EQ(allotment.kept[2], 256);
  // Half the extents: twice the density, and half the elements.
  EXPECT_NEAR(static_cast<double>(allotment.kept[0]) / static_cast<double>(allotment.kept[1]), 2,
              1e-4);
  EXPECT_NEAR(allotment.cost, budget, 2);
  EXPECT_LE(allotment.cost, budget);
}

// Random layers, bounds and costs: whatever the rule, the budget is met to within one block, bounds
// hold, and more budget takes no block away.
class AnyAllocation : public testing::TestWithParam<bool> {};

TEST_P(AnyAllocation, MeetsTheBudgetWithinBoundsAndIsMonotone) {
  for (uint64_t trial = 0; trial < 100; ++trial) {
    Random random(11, kStreamTest, trial);
    std::vector<BudgetedLayer> layers;
    std::vector<Shape> extents;
    double dearest = 0;  // Of one block.
    const int count = 1 + static_cast<int>(random.Below(8));
    for (int i = 0; i < count; ++i) {
      const auto rows = static_cast<int64_t>(1 + random.Below(40));
      const auto cols = static_cast<int64_t>(1 + random.Below(40));
      const double price = 1 + static_cast<double>(random.Below(100));
      BudgetedLayer layer;
      layer.block_count = rows * cols;
      layer.min_kept = 1 + static_cast<int64_t>(random.Below(layer.block_count)) / 4;
      layer.max_kept = std::max<int64_t>(
          layer.min_kept, layer.block_count - static_cast<int64_t>(random.Below(rows)));
      layer.cost = [price](int64_t kept) { return price * static_cast<double>(kept); };
      layers.push_back(layer);
      extents.push_back(Shape({16 * rows, 16 * cols}));
      dearest = std::max(dearest, price);
    }
    const auto allocation = GetParam() ? NewErkAllocation(extents) : NewUniformAllocation(count);
    const double least = AllotmentAt(*allocation, layers, 0).cost;
    const double most = AllotmentAt(*allocation, layers, 1).cost;
    std::vector<int64_t> before(count, 0);
    for (int i = 0; i <= 10; ++i) {
      const double budget = least + (most - least) * i / 10;
      ASSERT_OK_AND_ASSIGN(const Allotment allotment, Allot(*allocation, layers, budget));
      EXPECT_LE(allotment.cost, budget + 1e-9) << "trial " << trial;
      EXPECT_GT(allotment.cost + dearest, budget) << "trial " << trial;
      for (int j = 0; j < count; ++j) {
        EXPECT_GE(allotment.kept[j], layers[j].min_kept);
        EXPECT_LE(allotment.kept[j], layers[j].max_kept);
        EXPECT_GE(allotment.kept[j], before[j]) << "trial " << trial << ", layer " << j;
      }
      before = allotment.kept;
    }
    EXPECT_THAT(Allot(*allocation, layers, least - 1).status(),
                StatusIs(absl::StatusCode::kOutOfRange));
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, AnyAllocation, testing::Bool(),
                         [](const auto& info) { return info.param ? "Erk" : "Uniform"; });

}  // namespace
}  // namespace topiary
