#include "worker/prune/rigl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/status_matchers.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kSteps = 100;
constexpr int64_t kElements = 40 * 60;

// 150 blocks, of which 30 live.
MethodLayer Layer() { return LinearLayer("fc", 40, 60, {4, 4}); }

std::unique_ptr<Method> RigLWith(const RigLOptions& options) {
  PruningTarget target;
  target.sparsity = 0.8;
  return NewRigL(options, target, {Layer()}, kSteps).value();
}

// Replacements after steps 10, 20 .. 70.
RigLOptions EveryTenSteps() {
  RigLOptions options;
  options.update_steps = 10;
  return options;
}

// Tensors that are as random as their seeds.
FakeWeights Tensors(uint64_t seed) {
  FakeWeights tensors({RandomVector(kElements, seed)});
  tensors.gradients = {RandomVector(kElements, seed + 1000)};
  return tensors;
}

// Of the step, until the optimizer.
void RunStep(Method* method, int64_t step, LayerTensors& tensors) {
  method->BeginStep(step, tensors);
  method->AfterBackward(tensors);
}

int64_t Differences(const Support& a, const Support& b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

TEST(RigL, StartsWithBlocksDrawnBySeedInTheNumberThatItKeeps) {
  FakeWeights tensors = Tensors(1);
  const auto method = RigLWith(EveryTenSteps());
  EXPECT_EQ(method->BeginStep(0, tensors).changed_blocks, 120);
  EXPECT_EQ(tensors.reads, 0) << "whatever the weights are";
  RigLOptions options = EveryTenSteps();
  options.seed = 1;
  const auto other = RigLWith(options);
  other->BeginStep(0, tensors);
  EXPECT_NE(other->support(0), method->support(0));
}

TEST(RigL, ReplacesAtMultiplesOfDeltaTBeforeTEndInStepsThatUpdateNothing) {
  const auto method = RigLWith(EveryTenSteps());
  std::vector<int64_t> held;
  std::vector<int64_t> replaced;
  for (int64_t step = 0; step < kSteps; ++step) {
    FakeWeights tensors = Tensors(step);
    if (method->BeginStep(step, tensors).hold_weights) held.push_back(step);
    const Support before = method->support(0);
    method->AfterBackward(tensors);
    if (before != method->support(0)) replaced.push_back(step);
    EXPECT_EQ(LiveBlocks(method->support(0)), 30) << step;
  }
  EXPECT_THAT(held, ElementsAre(10, 20, 30, 40, 50, 60, 70));
  EXPECT_FALSE(replaced.empty());
  for (const int64_t step : replaced) EXPECT_EQ(step % 10, 0);
}

// floor(0.15 (1 + cos(pi 10 / 75)) 30) = 8 go at step 10.
TEST(RigL, DropsTheLeastWeightsAndGrowsTheLargestGradients) {
  const auto method = RigLWith(EveryTenSteps());
  FakeWeights tensors = Tensors(7);
  for (int64_t step = 0; step <= 9; ++step) RunStep(method.get(), step, tensors);
  const Support before = method->support(0);
  const std::vector<float> weights = BlockNorms(*Layer().partition, tensors.RawWeights(0));
  const std::vector<float> gradients = BlockNorms(*Layer().partition, tensors.Gradients(0));
  RunStep(method.get(), 10, tensors);
  const Support stays = SelectTopBlocks(weights, before, 30 - 8);
  Support expected = stays;
  Support others(150);
  for (size_t b = 0; b < others.size(); ++b) others[b] = stays[b] == 0;
  const Support grown = SelectTopBlocks(gradients, others, 8);
  for (size_t b = 0; b < grown.size(); ++b) expected[b] |= grown[b];
  EXPECT_EQ(method->support(0), expected);
  EXPECT_GT(Differences(before, expected), 0);
  // Blocks that come start at 0; all others keep their values.
  std::vector<float> values = RandomVector(kElements, 7);
  Support keeps(150);
  for (size_t b = 0; b < keeps.size(); ++b) keeps[b] = grown[b] == 0 || before[b] != 0;
  Layer().partition->ZeroPruned(keeps, absl::MakeSpan(values));
  EXPECT_EQ(tensors.RawWeights(0), absl::MakeConstSpan(values));
}

TEST(RigL, ReplacesFewerAndFewerAlongHalfACosine) {
  const auto method = RigLWith(EveryTenSteps());
  for (int64_t step = 0; step < 80; ++step) {
    // The gradients are those of the pruned blocks alone, so that all that are dropped are lost.
    FakeWeights tensors = Tensors(step);
    method->BeginStep(step, tensors);
    const Support before = method->support(0);
    Support pruned(before.size());
    for (size_t b = 0; b < before.size(); ++b) pruned[b] = before[b] == 0;
    Layer().partition->ZeroPruned(pruned, absl::MakeSpan(tensors.gradients[0]));
    method->AfterBackward(tensors);
    const bool replaces = step > 0 && step < 75 && step % 10 == 0;
    const auto expected =
        static_cast<int64_t>(0.15 * (1 + std::cos(M_PI * static_cast<double>(step) / 75)) * 30);
    EXPECT_EQ(Differences(before, method->support(0)), replaces ? 2 * expected : 0) << step;
  }
}

TEST(RigL, TheSupportIsFixedInTheEndAndScalesAreTheMask) {
  const auto method = RigLWith(EveryTenSteps());
  for (int64_t step = 0; step < 75; ++step) {
    FakeWeights tensors = Tensors(step);
    RunStep(method.get(), step, tensors);
  }
  const Support chosen = method->support(0);
  for (int64_t step = 75; step < kSteps; ++step) {
    FakeWeights tensors = Tensors(step);
    RunStep(method.get(), step, tensors);
    EXPECT_EQ(method->support(0), chosen);
  }
  const std::vector<float> scales = ScalesOf(*method, 0);
  for (size_t b = 0; b < scales.size(); ++b) EXPECT_EQ(scales[b], float(chosen[b]));
}

TEST(RigL, ResumesWithTheSupportItHad) {
  const auto first = RigLWith(EveryTenSteps());
  for (int64_t step = 0; step <= 30; ++step) {
    FakeWeights tensors = Tensors(step);
    RunStep(first.get(), step, tensors);
  }
  const auto second = RigLWith(EveryTenSteps());
  ASSERT_OK(second->Load(first->Save()));
  for (int64_t step = 31; step < kSteps; ++step) {
    FakeWeights tensors = Tensors(step);
    RunStep(first.get(), step, tensors);
    FakeWeights same = Tensors(step);
    RunStep(second.get(), step, same);
    EXPECT_EQ(second->support(0), first->support(0)) << step;
  }
}

struct BadOptions {
  const char* what;
  RigLOptions options;
};

class RigLRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(RigLRefuses, NamingTheField) {
  EXPECT_THAT(NewRigL(GetParam().options, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().what)));
}

// Of 100 steps 75 lie before the end.
TEST(RigL, RefusesARunInWhichItWouldBeRandomPruning) {
  RigLOptions options;
  options.update_steps = 75;
  EXPECT_THAT(NewRigL(options, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rigl.update_steps is 75")));
  options.update_steps = 74;
  EXPECT_OK(NewRigL(options, {}, {Layer()}, kSteps).status());
}

INSTANTIATE_TEST_SUITE_P(Options, RigLRefuses,
                         testing::Values(BadOptions{"rigl.drop_fraction", {0, 100, 0.75, 0}},
                                         BadOptions{"rigl.drop_fraction", {1.1, 100, 0.75, 0}},
                                         BadOptions{"rigl.update_steps", {0.3, 1, 0.75, 0}},
                                         BadOptions{"rigl.end_fraction", {0.3, 100, 0, 0}},
                                         BadOptions{"rigl.end_fraction", {0.3, 100, 1.1, 0}}));

}  // namespace
}  // namespace topiary
