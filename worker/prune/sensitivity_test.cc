#include "worker/prune/sensitivity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/random.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::ElementsAre;

BudgetedLayer Layer(int64_t blocks, double price = 1) {
  return {blocks, 1, blocks, [price](int64_t kept) { return price * static_cast<double>(kept); }};
}

std::vector<int64_t> Kept(const SensitivityCurve& curve) {
  std::vector<int64_t> kept;
  for (const SensitivityPoint& point : curve) kept.push_back(point.kept);
  return kept;
}

TEST(MeasuredBlockCounts, AreThoseOfTheSparsitiesAndBothEnds) {
  EXPECT_THAT(MeasuredBlockCounts({0.5, 0.9, 0.99}, 100), ElementsAre(1, 10, 50, 100));
  EXPECT_THAT(MeasuredBlockCounts({0.5, 0.9, 0.95}, 4), ElementsAre(1, 2, 4));
  EXPECT_THAT(MeasuredBlockCounts({0.5}, 1), ElementsAre(1));
}

TEST(Convexified, LeavesOutWhatLiesAboveOrOnALine) {
  EXPECT_THAT(Kept(Convexified({{1, 5}, {2, 4.9}, {3, 1}, {4, 0.5}, {5, 0}})),
              ElementsAre(1, 3, 5));
  EXPECT_THAT(Kept(Convexified({{1, 2}, {10, 1}})), ElementsAre(1, 10));
  EXPECT_THAT(Kept(Convexified({{7, 2}})), ElementsAre(7));
}

TEST(Convexified, TakesWhatIsNoNumberForVeryLarge) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const SensitivityCurve hull = Convexified({{1, infinity}, {2, nan}, {8, 1}, {16, 0}});
  EXPECT_THAT(Kept(hull), ElementsAre(1, 8, 16));
  EXPECT_TRUE(std::isfinite(hull[0].loss));
}

TEST(SensitivityAllocation, GivesBlocksWhereTheySaveMostLossForTheirCost) {
  // Saved by a block: 0.1 up to 11, then 0.01; and 0.05 throughout.
  const std::vector<SensitivityCurve> curves = {{{1, 2}, {11, 1}, {111, 0}}, {{1, 5}, {101, 0}}};
  const std::vector<BudgetedLayer> layers = {Layer(111), Layer(101)};
  const auto allocation = NewSensitivityAllocation(curves, layers);
  const auto kept = [&](double budget) { return Allot(*allocation, layers, budget)->kept; };
  EXPECT_THAT(kept(2), ElementsAre(1, 1));
  EXPECT_THAT(kept(8), ElementsAre(7, 1));
  EXPECT_THAT(kept(52), ElementsAre(11, 41));
  EXPECT_THAT(kept(162), ElementsAre(61, 101));
  EXPECT_THAT(kept(212), ElementsAre(111, 101));
  // Where its blocks cost a tenth the second layer comes first.
  const std::vector<BudgetedLayer> cheap = {Layer(111), Layer(101, 0.1)};
  EXPECT_THAT(Allot(*NewSensitivityAllocation(curves, cheap), cheap, 6.15)->kept,
              ElementsAre(1, 51));
}

TEST(SensitivityAllocation, ALayerThatGainsByPruningIsThePlaceToPrune) {
  const std::vector<SensitivityCurve> curves = {{{1, 0.5}, {100, 1}}, {{1, 1.5}, {100, 1}}};
  const std::vector<BudgetedLayer> layers = {Layer(100), Layer(100)};
  EXPECT_THAT(Allot(*NewSensitivityAllocation(curves, layers), layers, 120)->kept,
              ElementsAre(20, 100));
}

double LossAt(const SensitivityCurve& hull, int64_t kept) {
  for (size_t i = 0; i + 1 < hull.size(); ++i) {
    if (kept > hull[i + 1].kept) continue;
    const double part = static_cast<double>(kept - hull[i].kept) /
                        static_cast<double>(hull[i + 1].kept - hull[i].kept);
    return hull[i].loss + part * (hull[i + 1].loss - hull[i].loss);
  }
  return hull.back().loss;
}

// Against all there is: no other choice of the same cost or less is predicted to lose less, but for
// the last blocks, which need not fit.
TEST(SensitivityAllocation, MinimizesThePredictedLoss) {
  for (uint64_t trial = 0; trial < 60; ++trial) {
    Random random(5, kStreamTest, trial);
    std::vector<SensitivityCurve> curves;
    std::vector<BudgetedLayer> layers;
    std::vector<double> prices;
    for (int i = 0; i < 3; ++i) {
      const auto blocks = static_cast<int64_t>(2 + random.Below(12));
      prices.push_back(1 + static_cast<double>(random.Below(5)));
      layers.push_back(Layer(blocks, prices.back()));
      SensitivityCurve curve;
      for (int64_t kept = 1; kept <= blocks; ++kept) {
        curve.push_back({kept, random.Uniform() + 10.0 / static_cast<double>(kept)});
      }
      curves.push_back(Convexified(curve));
    }
    const auto allocation = NewSensitivityAllocation(curves, layers);
    const double least = AllotmentAt(*allocation, layers, 0).cost;
    const double most = AllotmentAt(*allocation, layers, 1).cost;
    ASSERT_OK_AND_ASSIGN(const Allotment allotment, Allot(*allocation, layers, (least + most) / 2));
    double loss = 0;
    for (int i = 0; i < 3; ++i) loss += LossAt(curves[i], allotment.kept[i]);
    double best = 1e9;
    for (int64_t a = 1; a <= layers[0].block_count; ++a) {
      for (int64_t b = 1; b <= layers[1].block_count; ++b) {
        for (int64_t c = 1; c <= layers[2].block_count; ++c) {
          const double cost = layers[0].cost(a) + layers[1].cost(b) + layers[2].cost(c);
          if (cost > allotment.cost) continue;
          best = std::min(best, LossAt(curves[0], a) + LossAt(curves[1], b) + LossAt(curves[2], c));
        }
      }
    }
    EXPECT_NEAR(loss, best, 1e-9) << "trial " << trial;
  }
}

}  // namespace
}  // namespace topiary
