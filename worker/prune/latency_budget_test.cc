#include "worker/prune/latency_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Dense: `dense` seconds; block-sparse: in proportion to the density.
TimedLayer Proportional(double dense, int64_t blocks = 1000) {
  return {{dense, {{0.05, 0.05 * dense}, {1, dense}}}, blocks};
}

absl::StatusOr<Allotment> AllotSeconds(const std::vector<TimedLayer>& layers, double seconds) {
  std::vector<BudgetedLayer> budgeted;
  for (const TimedLayer& layer : layers) {
    budgeted.push_back({layer.block_count, 1, layer.block_count,
                        [layer](int64_t kept) { return SecondsWith(layer, kept); }});
  }
  return Allot(*NewLatencyAllocation(layers), budgeted, seconds);
}

TEST(LatencyAllocation, LeavesEverythingDenseWhereThatIsFastEnough) {
  ASSERT_OK_AND_ASSIGN(const Allotment allotment,
                       AllotSeconds({Proportional(1), Proportional(2)}, 3));
  EXPECT_THAT(allotment.kept, ElementsAre(1000, 1000));
}

TEST(LatencyAllocation, LayersWhoseCostIsInProportionTakeTheSameTime) {
  ASSERT_OK_AND_ASSIGN(const Allotment allotment,
                       AllotSeconds({Proportional(8), Proportional(4), Proportional(0.5)}, 2.5));
  EXPECT_NEAR(allotment.kept[0], 125, 10.1);
  EXPECT_NEAR(allotment.kept[1], 250, 10.1);
  EXPECT_EQ(allotment.kept[2], 1000) << "takes less than its part as it is";
  EXPECT_LE(allotment.cost, 2.5);
  EXPECT_GE(allotment.cost, 2.3) << "no more is taken away than must be";
}

TEST(LatencyAllocation, ALayerThatPruningMakesSlowerStaysDense) {
  const TimedLayer fixed = {{1, {{0.05, 2}, {1, 3}}}, 100};
  const TimedLayer none = {{1, {}}, 100};
  ASSERT_OK_AND_ASSIGN(const Allotment allotment, AllotSeconds({fixed, none, Proportional(4)}, 3));
  EXPECT_THAT(allotment.kept, ElementsAre(100, 100, 250));
}

TEST(LatencyAllocation, KeepsABlockOfEachLayer) {
  ASSERT_OK_AND_ASSIGN(const Allotment allotment, AllotSeconds({Proportional(1, 4)}, 0.3));
  EXPECT_THAT(allotment.kept, ElementsAre(1));
  EXPECT_THAT(AllotSeconds({Proportional(1, 4)}, 0.2).status(),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("0.2 is less than the 0.25")));
  EXPECT_THAT(AllotSeconds({Proportional(1, 4)}, -1).status(),
              StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace topiary
