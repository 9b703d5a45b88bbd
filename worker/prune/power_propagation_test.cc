#include "worker/prune/power_propagation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/status_matchers.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 100;
constexpr int64_t kElements = 40 * 60;

// 150 blocks.
MethodLayer Layer() { return LinearLayer("fc", 40, 60, {4, 4}); }

PowerPropagationOptions Cubes() {
  PowerPropagationOptions options;
  options.power.exponent = 3;
  return options;
}

std::unique_ptr<Method> PowerWith(const PowerPropagationOptions& options) {
  PruningTarget target;
  target.sparsity = 0.9;
  return NewPowerPropagation(options, target, {Layer()}, kSteps).value();
}

TEST(PowerPropagation, TrainsTheRootOfTheWeightsGivenAndRunsThem) {
  FakeWeights tensors({RandomVector(kElements, 1)});
  const auto method = PowerWith(Cubes());
  method->BeginStep(0, tensors);
  method->WriteEffectiveWeights(tensors);
  const std::vector<float> given = RandomVector(kElements, 1);
  for (int64_t i = 0; i < kElements; ++i) {
    EXPECT_NEAR(tensors.RawWeights(0)[i], std::cbrt(given[i]), 1e-6);
    EXPECT_NEAR(tensors.effective[0][i], given[i], 1e-6);
  }
}

TEST(PowerPropagation, TakesTheRootOnceAlsoAfterResuming) {
  FakeWeights tensors({RandomVector(kElements, 2)});
  const auto first = PowerWith(Cubes());
  first->BeginStep(0, tensors);
  const std::vector<float> phi(tensors.RawWeights(0).begin(), tensors.RawWeights(0).end());
  const auto second = PowerWith(Cubes());
  ASSERT_OK(second->Load(first->Save()));
  second->BeginStep(1, tensors);
  EXPECT_EQ(tensors.RawWeights(0), absl::MakeConstSpan(phi));
}

TEST(PowerPropagation, MultipliesGradientsByThoseOfThePower) {
  FakeWeights tensors({RandomVector(kElements, 3)});
  tensors.gradients = {RandomVector(kElements, 4)};
  const auto method = PowerWith(Cubes());
  method->BeginStep(0, tensors);
  method->AfterBackward(tensors);
  const std::vector<float> gradient = RandomVector(kElements, 4);
  for (int64_t i = 0; i < kElements; ++i) {
    const double phi = tensors.RawWeights(0)[i];
    EXPECT_NEAR(tensors.gradients[0][i], 3 * phi * phi * gradient[i], 1e-5) << i;
  }
}

// By the norm of theta and not of phi, which order blocks differently.
TEST(PowerPropagation, KeepsTheBlocksOfLargestEffectiveNorm) {
  PowerPropagationOptions options = Cubes();
  options.schedule = PowerPropagationOptions::Schedule::kOneShot;
  FakeWeights tensors({RandomVector(kElements, 5)});
  const auto method = PowerWith(options);
  method->BeginStep(0, tensors);
  const Support expected =
      SelectTopBlocks(BlockNorms(*Layer().partition, RandomVector(kElements, 5)), {}, 15);
  EXPECT_EQ(method->support(0), expected);
  EXPECT_NE(SelectTopBlocks(BlockNorms(*Layer().partition, tensors.RawWeights(0)), {}, 15),
            expected);
  method->WriteEffectiveWeights(tensors);
  EXPECT_EQ(Layer().partition->SumsOfSquares(tensors.effective[0])[0] != 0, expected[0] != 0);
}

TEST(PowerPropagation, FollowsTheScheduleOfMagnitude) {
  PowerPropagationOptions options;
  options.power.form = PowerParametrization::Form::kBlock;
  options.refresh_steps = 1;
  FakeWeights tensors({RandomVector(kElements, 6)});
  const auto method = PowerWith(options);
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, tensors);
    const double sparsity = step < 20 ? 0 : CubicSparsity(0, 0.9, (step - 19) / 50.0);
    EXPECT_EQ(LiveBlocks(method->support(0)), KeptBlocks(sparsity, 150)) << step;
  }
}

TEST(PowerPropagation, RefusesWhatIsOutOfRange) {
  PowerPropagationOptions options;
  options.power.exponent = 1;
  EXPECT_THAT(NewPowerPropagation(options, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("power_propagation.element.exponent")));
  options = {};
  options.begin_fraction = 0.8;
  EXPECT_THAT(NewPowerPropagation(options, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("power_propagation.gradual")));
}

}  // namespace
}  // namespace topiary
