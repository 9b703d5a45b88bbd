#include "worker/prune/phases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::HasSubstr;

PhasePlan Preset(absl::string_view name, int64_t steps) {
  return PhasePlan::Create(PhasePreset(name).value(), steps).value();
}

TEST(PhasePreset, ImagenetHasItsBoundariesAtTenSeventyAndEightyFivePercent) {
  const PhasePlan plan = Preset("paper_imagenet", 9000);
  ASSERT_EQ(plan.phases().size(), 1u + 6 * 3 + 2);
  EXPECT_EQ(plan.phases().front().end(), 900);
  const Phase& last_sparsify = plan.phases()[19];
  EXPECT_EQ(last_sparsify.kind, PhaseKind::kSparsify);
  EXPECT_EQ(last_sparsify.begin, 6300);
  EXPECT_EQ(last_sparsify.end(), 7650);
  EXPECT_EQ(plan.phases().back().kind, PhaseKind::kSparse);
  EXPECT_EQ(plan.phases().back().begin, 7650);
  EXPECT_EQ(plan.total_steps(), 9000);
}

TEST(PhasePreset, ImagenetCyclesAreSparsifySparseDenseInEqualParts) {
  const PhasePlan plan = Preset("paper_imagenet", 9000);
  for (int cycle = 0; cycle < 6; ++cycle) {
    const Phase* phases = &plan.phases()[1 + 3 * cycle];
    EXPECT_EQ(phases[0].kind, PhaseKind::kSparsify);
    EXPECT_EQ(phases[1].kind, PhaseKind::kSparse);
    EXPECT_EQ(phases[2].kind, PhaseKind::kDense);
    EXPECT_EQ(phases[0].begin, 900 * (cycle + 1));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(phases[i].length, 300);
  }
}

TEST(PhasePreset, CriteoIsTwentyPercentDenseTenCyclesTwentyPercentSparse) {
  const PhasePlan plan = Preset("paper_criteo", 5000);
  EXPECT_EQ(plan.phases().front().length, 1000);
  EXPECT_EQ(plan.phases().back().kind, PhaseKind::kSparse);
  EXPECT_EQ(plan.phases().back().length, 1000);
  int sparsify = 0;
  for (const Phase& phase : plan.phases()) sparsify += phase.kind == PhaseKind::kSparsify;
  EXPECT_EQ(sparsify, 10);
  EXPECT_EQ((plan.phases().end() - 2)->kind, PhaseKind::kDense);
  EXPECT_EQ(plan.phases()[1].length, 100);
}

TEST(PhasePreset, SingleSparsifiesFromTwentyToSeventyPercent) {
  const PhasePlan plan = Preset("single", 1000);
  ASSERT_EQ(plan.phases().size(), 3u);
  EXPECT_EQ(plan.phases()[1].kind, PhaseKind::kSparsify);
  EXPECT_EQ(plan.phases()[1].begin, 200);
  EXPECT_EQ(plan.phases()[1].end(), 700);
}

TEST(PhasePreset, UnknownNameListsThePresets) {
  EXPECT_THAT(PhasePreset("imagenet").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("paper_imagenet")));
}

class PhasePlanCovers : public testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(PhasePlanCovers, EveryStepExactlyOnceAndEndsSparse) {
  const auto [name, steps] = GetParam();
  const PhasePlan plan = Preset(name, steps);
  EXPECT_EQ(plan.total_steps(), steps);
  int64_t next = 0;
  for (const Phase& phase : plan.phases()) {
    EXPECT_EQ(phase.begin, next);
    EXPECT_GE(phase.length, 1);
    next = phase.end();
  }
  for (int64_t step = 0; step < steps; ++step) {
    const PhasePosition at = plan.At(step);
    EXPECT_LE(at.phase.begin, step);
    EXPECT_GT(at.phase.end(), step);
    EXPECT_EQ(at.first, step == at.phase.begin);
    EXPECT_GT(at.t, 0);
    EXPECT_LE(at.t, 1);
  }
  if (steps >= 3) {
    EXPECT_EQ(plan.phases().back().kind, PhaseKind::kSparse);
  }
}

INSTANTIATE_TEST_SUITE_P(PresetsAndLengths, PhasePlanCovers,
                         testing::Combine(testing::Values("single", "paper_imagenet",
                                                          "paper_criteo"),
                                          testing::Values(1, 3, 7, 50, 100, 1001)));

TEST(PhasePlan, ProgressReachesOneAtTheLastStepOfAPhase) {
  const PhasePlan plan = Preset("single", 100);
  EXPECT_DOUBLE_EQ(plan.At(20).t, 1.0 / 50);
  EXPECT_DOUBLE_EQ(plan.At(69).t, 1.0);
  EXPECT_TRUE(plan.At(70).first);
}

TEST(PhasePlan, ShortRunKeepsASparsifyAndASparseStep) {
  const PhasePlan plan = Preset("paper_imagenet", 3);
  EXPECT_EQ(plan.phases().back().kind, PhaseKind::kSparse);
  EXPECT_EQ((plan.phases().end() - 2)->kind, PhaseKind::kSparsify);
}

struct BadShares {
  const char* what;
  std::vector<PhaseShare> shares;
  int64_t steps;
};

class PhasePlanRefuses : public testing::TestWithParam<BadShares> {};

TEST_P(PhasePlanRefuses, WithInvalidArgument) {
  EXPECT_THAT(PhasePlan::Create(GetParam().shares, GetParam().steps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::_))
      << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PhasePlanRefuses,
    testing::Values(
        BadShares{"no shares", {}, 10}, BadShares{"no steps", {{PhaseKind::kDense, 1}}, 0},
        BadShares{"negative", {{PhaseKind::kDense, -1}, {PhaseKind::kSparse, 2}}, 10},
        BadShares{"all zero", {{PhaseKind::kDense, 0}}, 10},
        BadShares{"infinite", {{PhaseKind::kDense, std::numeric_limits<double>::infinity()}}, 10}));

TEST(PhaseKind, NamesAreThoseOfProgressAndReports) {
  EXPECT_EQ(PhaseKindName(PhaseKind::kDense), "dense");
  EXPECT_EQ(PhaseKindName(PhaseKind::kSparsify), "sparsification");
  EXPECT_EQ(PhaseKindName(PhaseKind::kSparse), "sparse");
}

}  // namespace
}  // namespace topiary
