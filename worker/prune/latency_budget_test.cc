#include "worker/prune/latency_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// Dense: `dense` seconds; block-sparse: in proportion to the density.
BudgetedLayer Proportional(double dense, int64_t blocks = 1000) {
  return {{dense, {{0.05, 0.05 * dense}, {1, dense}}}, blocks};
}

double SecondsOf(const std::map<std::string, BudgetedLayer>& layers,
                 const std::map<std::string, double>& densities) {
  double seconds = 0;
  for (const auto& [weight, layer] : layers) seconds += layer.cost.Seconds(densities.at(weight));
  return seconds;
}

TEST(AllotDensities, LeavesEverythingDenseWhereThatIsFastEnough) {
  ASSERT_OK_AND_ASSIGN(const auto densities,
                       AllotDensities({{"a", Proportional(1)}, {"b", Proportional(2)}}, 3));
  EXPECT_THAT(densities, ElementsAre(Pair("a", 1), Pair("b", 1)));
}

TEST(AllotDensities, LayersWhoseCostIsInProportionTakeTheSameTime) {
  const std::map<std::string, BudgetedLayer> layers = {
      {"large", Proportional(8)}, {"medium", Proportional(4)}, {"small", Proportional(0.5)}};
  ASSERT_OK_AND_ASSIGN(const auto densities, AllotDensities(layers, 2.5));
  EXPECT_THAT(densities.at("large"), DoubleNear(1 / 8.0, 0.0101));
  EXPECT_THAT(densities.at("medium"), DoubleNear(1 / 4.0, 0.0101));
  EXPECT_EQ(densities.at("small"), 1) << "takes less than its part as it is";
  EXPECT_LE(SecondsOf(layers, densities), 2.5);
  EXPECT_GE(SecondsOf(layers, densities), 2.3) << "no more is taken away than must be";
}

TEST(AllotDensities, ALayerThatPruningMakesSlowerStaysDense) {
  const std::map<std::string, BudgetedLayer> layers = {
      {"fixed", {{1, {{0.05, 2}, {1, 3}}}, 100}}, {"none", {{1, {}}, 100}}, {"p", Proportional(4)}};
  ASSERT_OK_AND_ASSIGN(const auto densities, AllotDensities(layers, 3));
  EXPECT_THAT(densities,
              ElementsAre(Pair("fixed", 1), Pair("none", 1), Pair("p", DoubleNear(0.25, 1e-9))));
}

TEST(AllotDensities, KeepsABlockOfEachLayer) {
  const std::map<std::string, BudgetedLayer> layers = {{"four", Proportional(1, 4)}};
  ASSERT_OK_AND_ASSIGN(const auto densities, AllotDensities(layers, 0.3));
  EXPECT_THAT(densities, ElementsAre(Pair("four", DoubleNear(0.3, 1e-9))));
  EXPECT_THAT(
      AllotDensities(layers, 0.2),
      StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("200 ms of it, but take at least 250")));
  EXPECT_THAT(AllotDensities(layers, -1), StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace topiary
