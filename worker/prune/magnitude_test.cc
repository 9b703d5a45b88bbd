#include "worker/prune/magnitude.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 100;

PruningTarget Target(double sparsity) {
  PruningTarget target;
  target.sparsity = sparsity;
  return target;
}

std::unique_ptr<Method> Magnitude(const MagnitudeOptions& options, double sparsity = 0.9) {
  return NewMagnitudeMethod(options, Target(sparsity), {LinearLayer("fc", 40, 60, {4, 4})}, kSteps)
      .value();
}

MagnitudeOptions OneShot(double at) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kOneShot;
  options.at_fraction = at;
  return options;
}

TEST(Magnitude, OneShotPrunesBeforeTheFirstStepByDefault) {
  FakeWeights weights({RandomVector(40 * 60, 1)});
  const auto method = Magnitude(OneShot(0));
  EXPECT_EQ(method->BeginStep(0, weights).changed_blocks, 135);
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
}

TEST(Magnitude, OneShotWaitsForItsFractionAndCutsOnce) {
  FakeWeights weights({RandomVector(40 * 60, 1)});
  const auto method = Magnitude(OneShot(0.3));
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    EXPECT_EQ(LiveBlocks(method->support(0)), step < 30 ? 150 : 15) << step;
  }
  EXPECT_EQ(weights.reads, 1) << "weights are read only when something is chosen";
}

TEST(Magnitude, KeepsTheBlocksOfLargestFrobeniusNorm) {
  const MethodLayer layer = LinearLayer("fc", 40, 60, {4, 4});
  FakeWeights weights({RandomVector(40 * 60, 2)});
  const auto method = Magnitude(OneShot(0));
  method->BeginStep(0, weights);
  const std::vector<double> squares = layer.partition->SumsOfSquares(weights.RawWeights(0));
  double least_kept = INFINITY;
  double most_pruned = 0;
  for (size_t b = 0; b < squares.size(); ++b) {
    if (method->support(0)[b] != 0) {
      least_kept = std::min(least_kept, squares[b]);
    } else {
      most_pruned = std::max(most_pruned, squares[b]);
    }
  }
  EXPECT_GT(least_kept, most_pruned);
}

TEST(Magnitude, GradualFollowsTheCubicScheduleExactly) {
  FakeWeights weights({RandomVector(40 * 60, 3)});
  MagnitudeOptions options;
  options.refresh_steps = 1;
  const auto method = Magnitude(options);
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const double t = static_cast<double>(step - 20 + 1) / 50;
    const double sparsity = step < 20 ? 0 : CubicSparsity(0, 0.9, t);
    EXPECT_EQ(LiveBlocks(method->support(0)), KeptBlocks(sparsity, 150)) << step;
  }
}

// Density 0.1 in five rounds of 20 steps: 0.1^(1/5) = 0.631 of what was left, each time.
TEST(Magnitude, IterativePrunesTheSamePartInEachRoundAndReadsWeightsOnlyThen) {
  FakeWeights weights({RandomVector(40 * 60, 8)});
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.begin_fraction = 0;
  options.end_fraction = 1;
  options.rounds = 5;
  const auto method = Magnitude(options);
  const int64_t kept[] = {95, 60, 38, 24, 15};
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    EXPECT_EQ(LiveBlocks(method->support(0)), kept[step / 20]) << step;
  }
  EXPECT_EQ(weights.reads, 5);
}

// Of 8 blocks 7 7 6 6 6 5 5 5 4 4 are kept: what a round without a cut leaves is settled before it.
TEST(Magnitude, EachCutIsSettledUntilTheNextThoughRoundsBetweenTakeNothing) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  for (const BudgetKind budget : {BudgetKind::kUniform, BudgetKind::kGlobal}) {
    PruningTarget target = Target(0.5);
    target.budget = budget;
    ASSERT_OK_AND_ASSIGN(
        const auto method,
        NewMagnitudeMethod(options, target, {LinearLayer("fc", 4, 32, {4, 4})}, kSteps));
    FakeWeights weights({RandomVector(4 * 32, 9)});
    std::vector<int64_t> cuts;
    std::vector<int64_t> settled_until;
    for (int64_t step = 0; step < kSteps; ++step) {
      const StepActions actions = method->BeginStep(step, weights);
      EXPECT_EQ(actions.changed_blocks > 0, actions.settled_until.has_value()) << step;
      if (actions.changed_blocks > 0) cuts.push_back(step);
      if (actions.settled_until.has_value()) settled_until.push_back(*actions.settled_until);
    }
    EXPECT_EQ(cuts, (std::vector<int64_t>{20, 30, 45, 60}));
    EXPECT_EQ(settled_until, (std::vector<int64_t>{30, 45, 60, 100}));
    EXPECT_EQ(method->last_settling_step(), 60);
  }
}

TEST(Magnitude, RoundsOfABillionStepsAreFoundAtOnce) {
  constexpr int64_t kBillion = 1000000000;
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.begin_fraction = 0;
  options.rounds = 1;
  ASSERT_OK_AND_ASSIGN(
      const auto method,
      NewMagnitudeMethod(options, Target(0.9), {LinearLayer("fc", 40, 60, {4, 4})}, kBillion));
  EXPECT_EQ(method->last_settling_step(), 0);
  FakeWeights weights({RandomVector(40 * 60, 9)});
  EXPECT_EQ(method->BeginStep(0, weights).settled_until, kBillion);
}

TEST(Magnitude, NothingIsSettledWhereBlocksGoToTheEnd) {
  MagnitudeOptions options;
  EXPECT_EQ(Magnitude(options)->last_settling_step(), 70);
  EXPECT_EQ(Magnitude(OneShot(0.3))->last_settling_step(), 30);
  options.end_fraction = 1;
  EXPECT_EQ(Magnitude(options)->last_settling_step(), std::nullopt);
  options.schedule = MagnitudeOptions::Schedule::kIterative;  // The last round trains what it left.
  EXPECT_EQ(Magnitude(options)->last_settling_step(), 92);
}

TEST(Magnitude, APrunedBlockStaysPrunedEvenIfItsWeightsGrow) {
  const auto method = Magnitude({});
  FakeWeights weights({RandomVector(40 * 60, 4)});
  for (int64_t step = 0; step < 45; ++step) method->BeginStep(step, weights);
  const Support before = method->support(0);
  FakeWeights others({RandomVector(40 * 60, 5)});
  for (int64_t step = 45; step < kSteps; ++step) method->BeginStep(step, others);
  for (size_t b = 0; b < before.size(); ++b) EXPECT_LE(method->support(0)[b], before[b]);
}

TEST(Magnitude, ScalesAreTheMaskAndThereIsNoStateToTrain) {
  const auto method = Magnitude(OneShot(0));
  FakeWeights weights({RandomVector(40 * 60, 6)});
  method->BeginStep(0, weights);
  const std::vector<float> scales = ScalesOf(*method, 0);
  for (size_t b = 0; b < scales.size(); ++b) EXPECT_EQ(scales[b], float(method->support(0)[b]));
  EXPECT_TRUE(method->trainable_state().empty());
  EXPECT_FALSE(method->wants_inner_products());
}

TEST(Magnitude, StateCarriesTheSupportOver) {
  const auto first = Magnitude({});
  FakeWeights weights({RandomVector(40 * 60, 7)});
  for (int64_t step = 0; step < 50; ++step) first->BeginStep(step, weights);
  const auto second = Magnitude({});
  ASSERT_OK(second->Load(first->Save()));
  EXPECT_EQ(second->support(0), first->support(0));
  EXPECT_EQ(ScalesOf(*second, 0), ScalesOf(*first, 0));
}

struct BadOptions {
  const char* what;
  MagnitudeOptions options;
};

class MagnitudeRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(MagnitudeRefuses, NamingTheField) {
  EXPECT_THAT(
      NewMagnitudeMethod(GetParam().options, Target(0.5), {LinearLayer("fc", 8, 8, {4, 4})}, kSteps)
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().what)));
}

MagnitudeOptions Gradual(double begin, double end, int64_t refresh = 0) {
  MagnitudeOptions options;
  options.begin_fraction = begin;
  options.end_fraction = end;
  options.refresh_steps = refresh;
  return options;
}

MagnitudeOptions Iterative(int64_t rounds) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.rounds = rounds;
  return options;
}

INSTANTIATE_TEST_SUITE_P(Options, MagnitudeRefuses,
                         testing::Values(BadOptions{"at_fraction", OneShot(1)},
                                         BadOptions{"at_fraction", OneShot(-0.1)},
                                         BadOptions{"begin_fraction", Gradual(0.5, 0.5)},
                                         BadOptions{"end_fraction", Gradual(0.5, 1.1)},
                                         BadOptions{"refresh_steps", Gradual(0, 1, -1)},
                                         BadOptions{"rounds", Iterative(0)}));

CandidatePart Whole(std::string weight, int32_t size, int32_t candidate, bool counted = true) {
  return {std::move(weight), size, {{0, size, 1, candidate}}, counted};
}

std::unique_ptr<Method> HalfOf(CandidateGroup group) {
  std::string name = group.name();
  auto shared = std::make_shared<const CandidateGroup>(std::move(group));
  return NewMagnitudeMethod(OneShot(0), Target(0.5),
                            {{std::move(name), nullptr, std::nullopt, std::move(shared)}}, kSteps)
      .value();
}

// Two branches: the first has the larger matrices, the second the larger last one, which is among
// both its parts, and a large bias and scale.
TEST(Magnitude, OfACandidateMatricesCountAndEachOnce) {
  FakeWeights weights({});
  weights.named = {{"a.up", std::vector<float>(4, 2)},   {"a.down", std::vector<float>(4, 1)},
                   {"b.up", std::vector<float>(4, 1)},   {"b.down", std::vector<float>(4, 1.9F)},
                   {"b.bias", std::vector<float>(2, 9)}, {"b.scale", std::vector<float>(2, 9)}};
  const auto method = HalfOf(CandidateGroup(
      "branches", 2,
      {Whole("a.down", 4, 0), Whole("b.down", 4, 1), Whole("b.bias", 2, 1, false),
       Whole("b.scale", 2, 1, false)},
      {Whole("a.up", 4, 0), Whole("a.down", 4, 0), Whole("b.up", 4, 1), Whole("b.down", 4, 1)}));
  method->BeginStep(0, weights);
  EXPECT_EQ(method->support(0), (Support{1, 0}));
}

// A square matrix reads the units by its rows and makes them by its columns: what it has on the
// diagonal is of one unit twice.
TEST(Magnitude, AnElementThatReadsAndMakesACandidateCountsOnce) {
  FakeWeights weights({});
  weights.named = {{"w", {3, 0, 0, 3.5F}}, {"v", {2, 0}}};
  const CandidatePart rows{"w", 4, {{0, 2, 1, 0}, {2, 2, 1, 1}}};
  const CandidatePart columns{"w", 4, {{0, 2, 2, 0}, {1, 2, 2, 1}}};
  const auto method = HalfOf(CandidateGroup("units", 2, {rows}, {columns, Whole("v", 2, 0)}));
  method->BeginStep(0, weights);  // 9 + 4 and 12.25; 22 and 24.5 otherwise.
  EXPECT_EQ(method->support(0), (Support{1, 0}));
}

}  // namespace
}  // namespace topiary
