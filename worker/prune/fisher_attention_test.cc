#include "worker/prune/fisher_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "common/status_matchers.h"
#include "worker/prune/attention_test_util.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int64_t kSteps = 100;
constexpr int64_t kBlocks = 150;

FisherAttentionOptions EachStep() {
  FisherAttentionOptions options;
  options.begin_fraction = 0.2;
  options.end_fraction = 0.7;
  options.refresh_steps = 1;
  options.fisher_decay = 0.9;
  return options;
}

std::unique_ptr<Method> MethodWith(const FisherAttentionOptions& options) {
  PruningTarget target;
  target.sparsity = 0.9;
  return NewFisherAttention(options, target, {LinearLayer("fc", 40, 60, {4, 4})}, kSteps).value();
}

std::vector<float> Products(int64_t step) { return RandomVector(kBlocks, 100 + step); }

void RunSteps(Method* method, int64_t begin, int64_t end) {
  FakeWeights weights({});
  for (int64_t step = begin; step < end; ++step) {
    method->BeginStep(step, weights);
    const std::vector<float> products = Products(step);
    method->EndStep({products});
    MoveTrainableState(method, step);
  }
}

TEST(FisherAttention, StartsAsTheDenseLayer) {
  const auto method = MethodWith({});
  FakeWeights weights({});
  method->BeginStep(0, weights);
  EXPECT_THAT(ScalesOf(*method, 0), Each(1.0F));
}

// The average of docs/methods/fisher_attention.md (2), made anew here from the scales that the
// network saw.
TEST(FisherAttention, KeepsTheBlocksOfMostFisherInformationAtEachStep) {
  const auto method = MethodWith(EachStep());
  FakeWeights weights({});
  std::vector<float> fisher(kBlocks, 0.0F);
  for (int64_t step = 0; step < 70; ++step) {
    const Support before = method->support(0);
    method->BeginStep(step, weights);
    const double sparsity = step < 20 ? 0 : CubicSparsity(0, 0.9, (step - 19) / 50.0);
    EXPECT_EQ(method->support(0), SelectTopBlocks(fisher, before, KeptBlocks(sparsity, kBlocks)))
        << step;
    const std::vector<float> products = Products(step);
    const std::vector<float> scales = ScalesOf(*method, 0);
    for (int64_t b = 0; b < kBlocks; ++b) {
      if (scales[b] == 0) continue;
      const double gradient = double{scales[b]} * products[b];
      fisher[b] = static_cast<float>(0.9 * fisher[b] + 0.1 * gradient * gradient);
    }
    method->EndStep({products});
    MoveTrainableState(method.get(), step);
  }
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
  EXPECT_EQ(weights.reads, 0);
}

// In any direction: what a block does for the loss, and not whether it grows.
TEST(FisherAttention, TheSignOfTheGradientDoesNotMatter) {
  const auto one = MethodWith(EachStep());
  const auto other = MethodWith(EachStep());
  FakeWeights weights({});
  for (int64_t step = 0; step <= 40; ++step) {
    std::vector<float> products = Products(step);
    one->BeginStep(step, weights);
    one->EndStep({products});
    for (float& product : products) product = -product;
    other->BeginStep(step, weights);
    other->EndStep({products});
  }
  EXPECT_EQ(one->support(0), other->support(0));
}

// The logits are trained as those of SequentialAttention++ are: equation (3) of its page.
TEST(FisherAttention, ItsLogitsHaveTheGradientOfTheAttention) {
  const auto method = MethodWith(EachStep());
  RunSteps(method.get(), 0, 30);
  FakeWeights weights({});
  method->BeginStep(30, weights);
  const std::vector<float> products = Products(30);
  method->EndStep({products});
  const TrainableState state = method->trainable_state().front();
  const std::vector<double> attention = AttentionOf({state.value, kBlocks});
  std::vector<float> expected(kBlocks);
  LogitGradient(attention,
                AttentionGradientOf(attention, products, method->support(0), AttentionClip()),
                absl::MakeSpan(expected));
  for (int64_t b = 0; b < kBlocks; ++b) EXPECT_FLOAT_EQ(state.gradient[b], expected[b]) << b;
}

// At 98 % density^-1 is 50: SequentialAttention++ would cut that off.
TEST(FisherAttention, TheAttentionIsNotClipped) {
  const auto method = MethodWith({});
  TrainableState state = method->trainable_state().front();
  state.value[7] = 6;
  FakeWeights weights({});
  method->BeginStep(0, weights);
  const double others = kBlocks - 1;
  EXPECT_NEAR(ScalesOf(*method, 0)[7], kBlocks * std::exp(6) / (std::exp(6) + others), 1e-3);
}

TEST(FisherAttention, TheSupportOfTheSparsePhaseStays) {
  const auto method = MethodWith(EachStep());
  RunSteps(method.get(), 0, 71);
  const Support at_entry = method->support(0);
  EXPECT_EQ(LiveBlocks(at_entry), 15);
  RunSteps(method.get(), 71, kSteps);
  EXPECT_EQ(method->support(0), at_entry);
}

TEST(FisherAttention, ResumesWithTheSameInformation) {
  const auto straight = MethodWith(EachStep());
  RunSteps(straight.get(), 0, kSteps);
  for (const int64_t step : {5, 20, 45, 70}) {
    const auto first = MethodWith(EachStep());
    RunSteps(first.get(), 0, step);
    const auto second = MethodWith(EachStep());
    ASSERT_OK(second->Load(first->Save()));
    RunSteps(second.get(), step, kSteps);
    EXPECT_EQ(second->support(0), straight->support(0)) << step;
    EXPECT_EQ(ScalesOf(*second, 0), ScalesOf(*straight, 0)) << step;
  }
}

TEST(FisherAttention, RefusesTheStateOfAnotherMethodAndStaysAsItWas) {
  const auto method = MethodWith(EachStep());
  MethodState state = method->Save();
  state.erase("fisher/fc");
  EXPECT_THAT(method->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fisher/fc")));
}

// Layers that compete do so by what the loss owes each block: the one with larger gradients keeps
// more.
TEST(FisherAttention, LayersCompeteByTheirFisherInformation) {
  PruningTarget target;
  target.sparsity = 0.5;
  target.budget = BudgetKind::kGlobal;
  const auto method =
      NewFisherAttention(EachStep(), target,
                         {LinearLayer("fc1", 40, 60, {4, 4}), LinearLayer("fc2", 40, 60, {4, 4})},
                         kSteps)
          .value();
  FakeWeights weights({});
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const std::vector<float> small = Products(step);
    std::vector<float> large = Products(1000 + step);
    for (float& product : large) product *= 100;
    method->EndStep({small, large});
  }
  EXPECT_EQ(LiveBlocks(method->support(0)) + LiveBlocks(method->support(1)), kBlocks);
  EXPECT_GT(LiveBlocks(method->support(1)), kBlocks - 5);
}

struct BadOptions {
  const char* what;
  void (*change)(FisherAttentionOptions* options);
};

class FisherAttentionRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(FisherAttentionRefuses, NamingTheField) {
  FisherAttentionOptions options;
  GetParam().change(&options);
  EXPECT_THAT(NewFisherAttention(options, {}, {LinearLayer("fc", 8, 8, {4, 4})}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().what)));
}

using Options = FisherAttentionOptions;
INSTANTIATE_TEST_SUITE_P(
    Each, FisherAttentionRefuses,
    testing::Values(
        BadOptions{"fisher_attention.begin_fraction", [](Options* o) { o->begin_fraction = 0; }},
        BadOptions{"end_fraction", [](Options* o) { o->end_fraction = o->begin_fraction; }},
        BadOptions{"fisher_attention.refresh_steps", [](Options* o) { o->refresh_steps = -1; }},
        BadOptions{"fisher_attention.logits_learning_rate_multiplier",
                   [](Options* o) { o->logits_learning_rate_multiplier = -1; }},
        BadOptions{"fisher_attention.logits_weight_decay",
                   [](Options* o) { o->logits_weight_decay = 11; }},
        BadOptions{"fisher_attention.fisher_decay", [](Options* o) { o->fisher_decay = 1; }}));

}  // namespace
}  // namespace topiary
