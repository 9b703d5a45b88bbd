#include "worker/engine/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/gradient_clipping.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

using testing::HasSubstr;

// w [2, 3] and c [2]; gradients are what a test writes.
class OptimizerTest : public testing::Test {
 protected:
  void SetUp() override {
    const GradientCase model = GradientGraph()
                                   .Input("x", {GraphBuilder::kBatch, 3})
                                   .Weight("w", {2, 3})
                                   .Weight("c", {2})
                                   .Node("Gemm", {"x", "w", "c"}, "y", {Int("transB", 1)})
                                   .Output("y")
                                   .Finish("", LossKind::kNone, 1);
    ASSERT_OK_AND_ASSIGN(store_, ParameterStore::Create(model.graph, &backend_));
    SetAll("w", 1.0f, 0.5f);
    SetAll("c", -2.0f, 0.25f);
  }

  void SetAll(const std::string& name, float value, float gradient) {
    const Parameter& parameter = *store_->Find(name);
    std::fill_n(parameter.value, parameter.size, value);
    std::fill_n(parameter.gradient, parameter.size, gradient);
  }
  std::unique_ptr<Optimizer> New(const OptimizerOptions& options,
                                 absl::Span<const AuxiliaryParameter> auxiliary = {}) {
    auto optimizer = Optimizer::Create(options, store_.get(), auxiliary);
    EXPECT_OK(optimizer.status());
    return *std::move(optimizer);
  }
  float w(int i = 0) const { return store_->Find("w")->value[i]; }
  float c(int i = 0) const { return store_->Find("c")->value[i]; }

  ReferenceBackend backend_;
  std::unique_ptr<ParameterStore> store_;
};

TEST_F(OptimizerTest, PlainSgdFollowsTheGradient) {
  const uint64_t version = store_->version();
  New({})->Step(0.1f);
  for (int i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(w(i), 1 - 0.1f * 0.5f);
  EXPECT_FLOAT_EQ(c(1), -2 - 0.1f * 0.25f);
  EXPECT_NE(store_->version(), version);
}

TEST_F(OptimizerTest, MomentumAccumulatesAsPyTorchs) {
  OptimizerOptions options;
  options.momentum = 0.9f;
  const auto optimizer = New(options);
  double value = 1, buffer = 0;
  for (int step = 0; step < 5; ++step) {
    optimizer->Step(0.1f);
    buffer = 0.9 * buffer + 0.5;
    value -= 0.1 * buffer;
    EXPECT_NEAR(w(), value, 1e-6);
  }
}

TEST_F(OptimizerTest, NesterovLooksAhead) {
  OptimizerOptions options;
  options.momentum = 0.9f;
  options.nesterov = true;
  options.weight_decay = 0.1f;
  const auto optimizer = New(options);
  double value = 1, buffer = 0;
  for (int step = 0; step < 5; ++step) {
    optimizer->Step(0.1f);
    const double g = 0.5 + 0.1 * value;
    buffer = 0.9 * buffer + g;
    value -= 0.1 * (g + 0.9 * buffer);
    EXPECT_NEAR(w(), value, 1e-6);
  }
}

TEST_F(OptimizerTest, AdamCorrectsItsBias) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  options.weight_decay = 0.01f;
  const auto optimizer = New(options);
  double value = 1, m = 0, v = 0;
  for (int t = 1; t <= 6; ++t) {
    optimizer->Step(0.01f);
    const double g = 0.5 + 0.01 * value;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    value -= 0.01 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
    EXPECT_NEAR(w(), value, 2e-6) << t;
  }
}

TEST_F(OptimizerTest, AdamWDecaysApartFromTheGradient) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdamW;
  options.weight_decay = 0.1f;
  SetAll("w", 2.0f, 0.0f);
  const auto optimizer = New(options);
  optimizer->Step(0.5f);
  EXPECT_FLOAT_EQ(w(), 2 * (1 - 0.5f * 0.1f));      // No gradient: decay alone.
  EXPECT_NEAR(c(), -2 * (1 - 0.05f) - 0.5f, 1e-5);  // The first step of Adam is the learning rate.
}

TEST_F(OptimizerTest, VectorsAreNotDecayedWhenToldNotTo) {
  OptimizerOptions options;
  options.weight_decay = 0.5f;
  options.decay_vectors = false;
  SetAll("w", 1, 0);
  SetAll("c", 1, 0);
  New(options)->Step(0.1f);
  EXPECT_FLOAT_EQ(w(), 0.95f);
  EXPECT_FLOAT_EQ(c(), 1.0f);
}

TEST_F(OptimizerTest, GradientScaleMultipliesBeforeEverythingElse) {
  OptimizerOptions options;
  options.weight_decay = 1.0f;
  New(options)->Step(0.1f, 0.5f);
  EXPECT_FLOAT_EQ(w(), 1 - 0.1f * (0.5f * 0.5f + 1));
}

TEST_F(OptimizerTest, PrunedBlocksKeepTheirWeightsAndGradientsPassThroughTheScale) {
  auto runs = std::make_shared<BlockRuns>();
  runs->runs = {{0, 3, 1, 0}, {3, 3, 1, 1}};
  runs->block_count = 2;
  ASSERT_OK(store_->Reparameterize("w", runs));
  OptimizerOptions options;
  options.momentum = 0.9f;
  options.weight_decay = 0.1f;
  const auto optimizer = New(options);
  store_->Find("w")->block_scale[0] = 0;
  store_->Find("w")->block_scale[1] = 2;
  optimizer->Step(0.1f);
  EXPECT_EQ(w(0), 1.0f);
  EXPECT_FLOAT_EQ(w(3), 1 - 0.1f * (2 * 0.5f + 0.1f));
  EXPECT_FLOAT_EQ(c(0), -2 - 0.1f * (0.25f + 0.1f * -2));
  const OptimizerState state = optimizer->Save();
  EXPECT_EQ(state.slots.at("w/momentum")[0], 0);
  EXPECT_FLOAT_EQ(state.slots.at("w/momentum")[3], 1.1f);
}

TEST_F(OptimizerTest, InnerProductsAreOfTheValuesBeforeTheUpdate) {
  auto runs = std::make_shared<BlockRuns>();
  runs->runs = {{0, 2, 1, 0}, {2, 4, 1, 1}};
  runs->block_count = 2;
  ASSERT_OK(store_->Reparameterize("w", runs));
  OptimizerOptions options;
  options.inner_products = true;
  const auto optimizer = New(options);
  store_->Find("w")->block_scale[0] = 0;  // Pruned blocks have inner products as well.
  optimizer->Step(0.1f, 3);               // Which clipping does not scale.
  EXPECT_FLOAT_EQ(store_->Find("w")->block_inner_product[0], 2 * 0.5f);
  EXPECT_FLOAT_EQ(store_->Find("w")->block_inner_product[1], 4 * 0.5f);
}

TEST_F(OptimizerTest, TheTwoHalvesOfAStepAreAWholeOne) {
  std::vector<float> value = {1}, gradient = {0};
  AuxiliaryParameter logits;
  logits.name = "logits";
  logits.size = 1;
  logits.value = value.data();
  logits.gradient = gradient.data();
  const auto optimizer = New({}, {logits});
  optimizer->StepStore(0.1f, 2);
  EXPECT_FLOAT_EQ(w(), 1 - 0.1f);
  EXPECT_EQ(value[0], 1);
  gradient[0] = 0.5f;  // Made between the halves.
  optimizer->StepAuxiliary();
  EXPECT_FLOAT_EQ(value[0], 1 - 0.1f);
}

TEST_F(OptimizerTest, AuxiliaryParametersHaveTheirOwnRates) {
  std::vector<float> value = {1, 1}, gradient = {0.5f, -0.5f};
  AuxiliaryParameter logits;
  logits.name = "logits";
  logits.size = 2;
  logits.value = value.data();
  logits.gradient = gradient.data();
  logits.learning_rate_multiplier = 10;
  logits.weight_decay = 0.0f;
  OptimizerOptions options;
  options.weight_decay = 0.3f;
  New(options, {logits})->Step(0.1f);
  EXPECT_FLOAT_EQ(value[0], 1 - 0.5f);
  EXPECT_FLOAT_EQ(value[1], 1 + 0.5f);
}

TEST_F(OptimizerTest, ResetForgetsMomentsAndSteps) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  const auto optimizer = New(options);
  optimizer->Step(0.01f);
  const float after_first = w();
  for (int i = 0; i < 3; ++i) optimizer->Step(0.01f);
  optimizer->Reset();
  EXPECT_EQ(optimizer->Save().steps, 0);
  SetAll("w", 1.0f, 0.5f);
  optimizer->Step(0.01f);
  EXPECT_EQ(w(), after_first);
}

TEST_F(OptimizerTest, ResetAuxiliaryForgetsWhatWasOfAuxiliaryParametersAlone) {
  float value = 1, gradient = 0.5F;
  AuxiliaryParameter logits;
  logits.name = "logits";
  logits.size = 1;
  logits.value = &value;
  logits.gradient = &gradient;
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  const auto optimizer = New(options, {logits});
  const auto step = [&](float g) {
    const float before = value;
    gradient = g;
    optimizer->Step(0.01F);
    return value - before;
  };
  const float first = step(0.5F);
  for (int i = 0; i < 5; ++i) step(-0.1F);
  const float weight = w();
  const OptimizerState remembered = optimizer->Save();
  optimizer->ResetAuxiliary();
  EXPECT_EQ(w(), weight);
  const OptimizerState state = optimizer->Save();
  EXPECT_EQ(state.slots.at("w/first_moment"), remembered.slots.at("w/first_moment"));
  EXPECT_EQ(state.steps, 6);
  EXPECT_EQ(state.auxiliary_steps, 0);
  EXPECT_THAT(state.slots.at("logits/second_moment"), testing::ElementsAre(0));
  value = 1;
  EXPECT_EQ(step(0.5F), first) << "as the first step of a new optimizer";
}

TEST_F(OptimizerTest, ASavedStateGoesOnWithTheSameBits) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdamW;
  options.weight_decay = 0.1f;
  const auto first = New(options);
  for (int i = 0; i < 3; ++i) first->Step(0.01f);
  const OptimizerState state = first->Save();
  const float at_save = w();
  first->Step(0.01f);
  const float expected = w();
  SetAll("w", at_save, 0.5f);
  const auto second = New(options);
  ASSERT_OK(second->Load(state));
  second->Step(0.01f);
  EXPECT_EQ(w(), expected);
}

TEST_F(OptimizerTest, RefusesAStateOfAnotherOptimizer) {
  OptimizerOptions options;
  options.momentum = 0.9f;
  const auto optimizer = New(options);
  OptimizerState state = optimizer->Save();
  EXPECT_EQ(state.slots.size(), 2u);
  state.slots["w/momentum"].pop_back();
  EXPECT_THAT(optimizer->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("w/momentum")));
  state.slots.clear();
  EXPECT_THAT(optimizer->Load(state), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(OptimizerTest, RefusesAnAuxiliaryParameterWithTheNameOfAWeight) {
  float value = 0, gradient = 0;
  AuxiliaryParameter auxiliary;
  auxiliary.name = "w";
  auxiliary.size = 1;
  auxiliary.value = &value;
  auxiliary.gradient = &gradient;
  EXPECT_THAT(Optimizer::Create({}, store_.get(), {auxiliary}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'w'")));
}

TEST(ClipFactor, ShrinksOnlyWhatIsTooLong) {
  EXPECT_EQ(ClipFactor(0.5, 1), 1.0f);
  EXPECT_NEAR(ClipFactor(4, 1), 0.25, 1e-6);
  EXPECT_EQ(ClipFactor(0, 1), 1.0f);
  EXPECT_TRUE(std::isnan(ClipFactor(std::numeric_limits<double>::infinity(), 1)));
}

struct BadOption {
  std::string field;
  std::function<void(OptimizerOptions*)> change;
};

class OptimizerOptionsRefused : public testing::TestWithParam<BadOption> {};

TEST_P(OptimizerOptionsRefused, NamingTheField) {
  OptimizerOptions options;
  GetParam().change(&options);
  EXPECT_THAT(ValidateOptimizerOptions(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().field)));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, OptimizerOptionsRefused,
    testing::Values(BadOption{"momentum", [](auto* o) { o->momentum = 1; }},
                    BadOption{"beta1", [](auto* o) { o->beta1 = -0.1f; }},
                    BadOption{"beta2", [](auto* o) { o->beta2 = 1; }},
                    BadOption{"epsilon", [](auto* o) { o->epsilon = 0; }},
                    BadOption{"weight_decay", [](auto* o) { o->weight_decay = -1; }},
                    BadOption{"weight_decay", [](auto* o) { o->weight_decay = std::nanf(""); }},
                    BadOption{"nesterov", [](auto* o) { o->nesterov = true; }}));

}  // namespace
}  // namespace topiary
