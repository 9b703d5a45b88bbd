#include "worker/prune/sequential_attention_pp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <string>

#include "common/status_matchers.h"
#include "worker/prune/attention_test_util.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int64_t kSteps = 100;

std::vector<MethodLayer> TwoLayers() {
  return {LinearLayer("fc1", 40, 60, {4, 4}), LinearLayer("fc2", 30, 50, {4, 4})};  // 150, 104.
}

PruningTarget Target(double sparsity, BudgetKind budget = BudgetKind::kUniform) {
  PruningTarget target;
  target.sparsity = sparsity;
  target.budget = budget;
  return target;
}

std::unique_ptr<Method> NewMethodWith(const SequentialAttentionPlusPlusOptions& options,
                                      const PruningTarget& target = Target(0.9)) {
  return NewSequentialAttentionPlusPlus(options, target, TwoLayers(), kSteps).value();
}

// Runs steps [begin, end) of `method` without a network.
void RunSteps(Method* method, int64_t begin, int64_t end) {
  FakeWeights weights({});
  for (int64_t step = begin; step < end; ++step) {
    method->BeginStep(step, weights);
    MoveTrainableState(method, step);
  }
}

TEST(SequentialAttentionPlusPlus, StartsAsTheDenseLayer) {
  const auto method = NewMethodWith({});
  FakeWeights weights({});
  method->BeginStep(0, weights);
  EXPECT_THAT(ScalesOf(*method, 0), Each(1.0F));
  EXPECT_THAT(ScalesOf(*method, 1), Each(1.0F));
}

// A latency budget gives each layer a sparsity of its own.
TEST(SequentialAttentionPlusPlus, LayersReachTheirOwnSparsityAndClipByIt) {
  std::vector<MethodLayer> layers = TwoLayers();
  layers[0].sparsity = 0.5;
  PruningTarget target;
  target.sparsity.reset();
  layers[1].sparsity = 0.75;
  const auto method = NewSequentialAttentionPlusPlus({}, target, std::move(layers), kSteps).value();
  RunSteps(method.get(), 0, kSteps - 1);
  FakeWeights weights({});
  method->BeginStep(kSteps - 1, weights);
  EXPECT_EQ(LiveBlocks(method->support(0)), 75);
  EXPECT_EQ(LiveBlocks(method->support(1)), 26);
  const double densities[] = {0.5, 0.25};
  for (int i = 0; i < 2; ++i) {
    for (const float scale : ScalesOf(*method, i)) {
      if (scale == 0) continue;
      EXPECT_GE(scale, densities[i] - 1e-6);
      EXPECT_LE(scale, 1 / densities[i] + 1e-6);
    }
  }
}

TEST(SequentialAttentionPlusPlus, ScalesAddUpToTheNumberOfBlocksInADensePhase) {
  SequentialAttentionPlusPlusOptions options;
  options.clip_attention = false;
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  for (int64_t step = 0; step < 20; ++step) {
    method->BeginStep(step, weights);
    for (int i = 0; i < 2; ++i) {
      const std::vector<float> scales = ScalesOf(*method, i);
      EXPECT_NEAR(std::accumulate(scales.begin(), scales.end(), 0.0), scales.size(), 1e-3);
    }
    MoveTrainableState(method.get(), step);
  }
}

TEST(SequentialAttentionPlusPlus, KeepsExactlyTheScheduledNumberOfBlocksAtEachStep) {
  SequentialAttentionPlusPlusOptions options;
  options.mask_refresh_steps = 1;
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const PhasePosition at = method->plan().At(step);
    double sparsity = 0;
    if (at.phase.kind == PhaseKind::kSparsify) sparsity = ExponentialSparsity(0.9, 4, at.t);
    if (at.phase.kind == PhaseKind::kSparse) sparsity = 0.9;
    EXPECT_EQ(LiveBlocks(method->support(0)), KeptBlocks(sparsity, 150)) << "step " << step;
    EXPECT_EQ(LiveBlocks(method->support(1)), KeptBlocks(sparsity, 104)) << "step " << step;
    MoveTrainableState(method.get(), step);
  }
}

TEST(SequentialAttentionPlusPlus, PrunedBlocksHaveScaleZeroAndLiveOnesHaveNot) {
  const auto method = NewMethodWith({});
  RunSteps(method.get(), 0, 80);
  method->RefreshScales();
  for (int i = 0; i < 2; ++i) {
    const std::vector<float> scales = ScalesOf(*method, i);
    for (size_t block = 0; block < scales.size(); ++block) {
      EXPECT_EQ(scales[block] != 0, method->support(i)[block] != 0);
    }
  }
}

TEST(SequentialAttentionPlusPlus, NoBlockReturnsWithinASparsifyPhase) {
  SequentialAttentionPlusPlusOptions options;
  options.phases = PhasePreset("paper_imagenet").value();
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  Support before;
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const PhasePosition at = method->plan().At(step);
    const Support& now = method->support(0);
    if (!at.first && at.phase.kind != PhaseKind::kDense) {
      for (size_t b = 0; b < now.size(); ++b) EXPECT_LE(now[b], before[b]) << "step " << step;
    }
    before = now;
    MoveTrainableState(method.get(), step);
  }
}

TEST(SequentialAttentionPlusPlus, EveryBlockReturnsInADensePhase) {
  SequentialAttentionPlusPlusOptions options;
  options.phases = PhasePreset("paper_imagenet").value();
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const PhasePosition at = method->plan().At(step);
    if (at.phase.kind == PhaseKind::kDense) {
      EXPECT_EQ(LiveBlocks(method->support(0)), 150);
    }
    if (at.phase.kind == PhaseKind::kSparse) {
      EXPECT_EQ(LiveBlocks(method->support(0)), 15);
    }
    MoveTrainableState(method.get(), step);
  }
}

TEST(SequentialAttentionPlusPlus, TheSupportOfASparsePhaseStaysWhateverTheLogitsDo) {
  const auto method = NewMethodWith({});
  RunSteps(method.get(), 0, 71);
  const Support at_entry = method->support(0);
  RunSteps(method.get(), 71, kSteps);
  EXPECT_EQ(method->support(0), at_entry);
}

TEST(SequentialAttentionPlusPlus, KeepsTheBlocksOfHighestAttention) {
  SequentialAttentionPlusPlusOptions options;
  options.phases = {{PhaseKind::kDense, 1}, {PhaseKind::kSparse, 1}};
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  method->BeginStep(0, weights);
  TrainableState logits = method->trainable_state()[0];
  for (int64_t i = 0; i < logits.size; ++i) logits.value[i] = static_cast<float>(i % 10);
  method->BeginStep(50, weights);
  for (int64_t i = 0; i < logits.size; ++i) EXPECT_EQ(method->support(0)[i], i % 10 == 9);
}

TEST(SequentialAttentionPlusPlus, ResetsTheOptimizerAtEachPhaseButTheFirst) {
  const auto method = NewMethodWith({});
  FakeWeights weights({});
  std::vector<int64_t> resets;
  for (int64_t step = 0; step < kSteps; ++step) {
    if (method->BeginStep(step, weights).reset_optimizer) resets.push_back(step);
  }
  EXPECT_THAT(resets, testing::ElementsAre(20, 70));
}

TEST(SequentialAttentionPlusPlus, DoesNotResetTheOptimizerWhenToldSo) {
  SequentialAttentionPlusPlusOptions options;
  options.reset_optimizer_at_phases = false;
  const auto method = NewMethodWith(options);
  FakeWeights weights({});
  for (int64_t step = 0; step < kSteps; ++step) {
    EXPECT_FALSE(method->BeginStep(step, weights).reset_optimizer);
  }
}

TEST(SequentialAttentionPlusPlus, RefreshesTheMaskOncePerPercentOfThePhaseAndAtItsEnd) {
  SequentialAttentionPlusPlusOptions options;
  options.phases = {{PhaseKind::kSparsify, 1}};
  auto method = NewSequentialAttentionPlusPlus(options, Target(0.9), TwoLayers(), 1000).value();
  FakeWeights weights({});
  int changes_between = 0;
  for (int64_t step = 0; step < 1000; ++step) {
    const int64_t changed = method->BeginStep(step, weights).changed_blocks;
    if (step % 10 != 0 && step != 999 && changed != 0) ++changes_between;
  }
  EXPECT_EQ(changes_between, 0);
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
}

TEST(SequentialAttentionPlusPlus, ClipsTheScaleToTheDensityAndItsInverse) {
  const auto method = NewMethodWith({}, Target(0.75));
  FakeWeights weights({});
  TrainableState logits = method->trainable_state()[0];
  logits.value[0] = 20;
  logits.value[1] = -20;
  method->BeginStep(0, weights);
  EXPECT_FLOAT_EQ(method->scales(0)[0], 4.0F);
  EXPECT_FLOAT_EQ(method->scales(0)[1], 0.25F);
}

TEST(SequentialAttentionPlusPlus, EndStepFillsTheGradientsOfItsLogits) {
  const auto method = NewMethodWith({});
  FakeWeights weights({});
  RunSteps(method.get(), 0, 40);  // Partly masked.
  method->BeginStep(40, weights);
  const std::vector<float> products0 = RandomVector(150, 1);
  const std::vector<float> products1 = RandomVector(104, 2);
  method->EndStep({products0, products1});
  const TrainableState state = method->trainable_state()[1];
  std::vector<float> expected(104);
  const std::vector<double> attention = AttentionOf({state.value, 104});
  LogitGradient(attention,
                AttentionGradientOf(attention, products1, method->support(1),
                                    AttentionClip::ForDensity(1 - 0.9)),
                absl::MakeSpan(expected));
  EXPECT_EQ(std::vector<float>(state.gradient, state.gradient + 104), expected);
}

TEST(SequentialAttentionPlusPlus, LogitsHaveTheirOwnRateAndTheWeightsDecayUnlessTold) {
  SequentialAttentionPlusPlusOptions options;
  EXPECT_EQ(NewMethodWith(options)->trainable_state()[0].learning_rate_multiplier, 10);
  EXPECT_FALSE(NewMethodWith(options)->trainable_state()[0].weight_decay.has_value());
  options.logits_learning_rate_multiplier = 30;
  options.logits_weight_decay = 0.5;
  const auto method = NewMethodWith(options);
  EXPECT_EQ(method->trainable_state()[1].name, "logits/fc2");
  EXPECT_EQ(method->trainable_state()[1].learning_rate_multiplier, 30);
  EXPECT_EQ(*method->trainable_state()[1].weight_decay, 0.5);
}

TEST(SequentialAttentionPlusPlus, GlobalBudgetKeepsTheTotalAndAtLeastOnePerLayer) {
  const auto method = NewMethodWith({}, Target(0.9, BudgetKind::kGlobal));
  FakeWeights weights({});
  // One block of the first layer outshines the rest of it.
  method->trainable_state()[0].value[7] = 30;
  for (int64_t step = 0; step < kSteps; ++step) method->BeginStep(step, weights);
  EXPECT_EQ(method->support(0)[7], 1);
  EXPECT_EQ(CountBlocks(*method).live, KeptBlocks(0.9, 254));
  EXPECT_EQ(LiveBlocks(method->support(0)), 1);
}

// ---- One softmax over all layers
// --------------------------------------------------------------------

SequentialAttentionPlusPlusOptions GlobalSoftmax() {
  SequentialAttentionPlusPlusOptions options;
  options.softmax = SequentialAttentionPlusPlusOptions::Softmax::kGlobal;
  options.clip_attention = false;
  return options;
}

TEST(GlobalSoftmax, ScalesHaveMeanOneOverAllLayersAndNotOverEach) {
  const auto method = NewMethodWith(GlobalSoftmax());
  FakeWeights weights({});
  method->BeginStep(0, weights);
  EXPECT_THAT(ScalesOf(*method, 0), Each(1.0F));
  EXPECT_THAT(ScalesOf(*method, 1), Each(1.0F));
  const TrainableState logits = method->trainable_state()[1];
  for (int64_t i = 0; i < logits.size; ++i) logits.value[i] = 1;
  method->BeginStep(1, weights);
  // 150 blocks at exp(0), 104 at exp(1).
  const double sum = 150 + 104 * std::exp(1.0);
  EXPECT_NEAR(method->scales(0)[0], 254 / sum, 1e-6);
  EXPECT_NEAR(method->scales(1)[0], 254 * std::exp(1.0) / sum, 1e-6);
}

TEST(GlobalSoftmax, EndStepHasOneCommonTermForAllLayers) {
  const auto method = NewMethodWith(GlobalSoftmax());
  FakeWeights weights({});
  RunSteps(method.get(), 0, 40);  // Partly masked.
  method->BeginStep(40, weights);
  const std::vector<float> products0 = RandomVector(150, 1);
  const std::vector<float> products1 = RandomVector(104, 2);
  method->EndStep({products0, products1});
  std::vector<float> logits;
  std::vector<float> gradient;
  for (const TrainableState& state : method->trainable_state()) {
    logits.insert(logits.end(), state.value, state.value + state.size);
    gradient.insert(gradient.end(), state.gradient, state.gradient + state.size);
  }
  std::vector<float> products = products0;
  products.insert(products.end(), products1.begin(), products1.end());
  Support live = method->support(0);
  live.insert(live.end(), method->support(1).begin(), method->support(1).end());
  const std::vector<double> attention = AttentionOf(logits);
  std::vector<float> expected(254);
  LogitGradient(attention, AttentionGradientOf(attention, products, live, AttentionClip()),
                absl::MakeSpan(expected));
  EXPECT_EQ(gradient, expected);
}

// A logit means the same in each layer, so that logits rank over layers, however the others lie.
TEST(GlobalSoftmax, AGlobalBudgetRanksByLogits) {
  const auto method = NewMethodWith(GlobalSoftmax(), Target(0.9, BudgetKind::kGlobal));
  FakeWeights weights({});
  const std::vector<TrainableState> state = method->trainable_state();
  for (int64_t i = 0; i < state[1].size; ++i) state[1].value[i] = 5;
  state[0].value[3] = 6;
  for (int64_t step = 0; step < kSteps; ++step) method->BeginStep(step, weights);
  EXPECT_EQ(method->support(0)[3], 1);
  EXPECT_EQ(LiveBlocks(method->support(0)), 1);
  EXPECT_EQ(LiveBlocks(method->support(1)), 24);
}

class ResumesAt : public testing::TestWithParam<int64_t> {};

// In each phase, at boundaries, and between two refreshes of the mask.
TEST_P(ResumesAt, AndGivesTheSameSupportAndScales) {
  SequentialAttentionPlusPlusOptions options;
  options.phases = PhasePreset("paper_criteo").value();
  options.mask_refresh_steps = 2;
  const auto straight = NewMethodWith(options);
  RunSteps(straight.get(), 0, kSteps);
  const auto first = NewMethodWith(options);
  RunSteps(first.get(), 0, GetParam());
  const auto second = NewMethodWith(options);
  ASSERT_OK(second->Load(first->Save()));
  RunSteps(second.get(), GetParam(), kSteps);
  straight->RefreshScales();
  second->RefreshScales();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(second->support(i), straight->support(i));
    EXPECT_EQ(ScalesOf(*second, i), ScalesOf(*straight, i));
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, ResumesAt, testing::Values(0, 10, 20, 21, 22, 25, 50, 79, 80, 99));

TEST(SequentialAttentionPlusPlus, RefusesTheStateOfAnotherLayer) {
  const auto method = NewMethodWith({});
  MethodState state = method->Save();
  state.erase("logits/fc2");
  EXPECT_THAT(method->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'logits/fc2'")));
  state = method->Save();
  state.find("support/fc1")->second = Tensor(DType::kUint8, Shape({3}));
  EXPECT_THAT(method->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'support/fc1'")));
}

struct BadOptions {
  std::string field;
  SequentialAttentionPlusPlusOptions options;
};

class SequentialAttentionPlusPlusRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(SequentialAttentionPlusPlusRefuses, NamingTheField) {
  EXPECT_THAT(
      NewSequentialAttentionPlusPlus(GetParam().options, Target(0.9), TwoLayers(), kSteps).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().field)));
}

BadOptions Bad(const std::string& field,
               const std::function<void(SequentialAttentionPlusPlusOptions*)>& change) {
  BadOptions bad;
  bad.field = field;
  change(&bad.options);
  return bad;
}

INSTANTIATE_TEST_SUITE_P(
    Options, SequentialAttentionPlusPlusRefuses,
    testing::Values(Bad("logits_learning_rate_multiplier",
                        [](auto* o) { o->logits_learning_rate_multiplier = 0; }),
                    Bad("logits_learning_rate_multiplier",
                        [](auto* o) { o->logits_learning_rate_multiplier = std::nan(""); }),
                    Bad("logits_weight_decay", [](auto* o) { o->logits_weight_decay = -1; }),
                    Bad("schedule_constant", [](auto* o) { o->schedule_constant = 0; }),
                    Bad("mask_refresh_steps", [](auto* o) { o->mask_refresh_steps = -5; }),
                    Bad("last phase is dense", [](auto* o) {
                      o->phases = {{PhaseKind::kDense, 1}};
                    })));

}  // namespace
}  // namespace topiary
