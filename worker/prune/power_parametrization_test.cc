#include "worker/prune/power_parametrization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using Form = PowerParametrization::Form;

constexpr int64_t kElements = 10 * 12;

// 3 x 3 blocks, ragged at the edge.
BlockPartition Partition() { return *LinearLayer("fc", 10, 12, {4, 4}).partition; }

std::vector<float> ThetaOf(const PowerParametrization& power, const std::vector<float>& phi) {
  std::vector<float> theta(phi.size());
  power.Apply(Partition(), Support(9, 1), phi, absl::MakeSpan(theta));
  return theta;
}

class PowerParametrizations : public testing::TestWithParam<PowerParametrization> {};

// A loss with known gradients by theta: sum of c theta + d theta^2 / 2.
TEST_P(PowerParametrizations, GradientsMatchFiniteDifferences) {
  const PowerParametrization& power = GetParam();
  const std::vector<float> c = RandomVector(kElements, 1);
  const std::vector<float> d = RandomVector(kElements, 2);
  std::vector<float> phi = RandomVector(kElements, 3);
  const auto loss = [&] {
    const std::vector<float> theta = ThetaOf(power, phi);
    double sum = 0;
    for (int64_t i = 0; i < kElements; ++i) {
      sum += double{c[i]} * theta[i] + 0.5 * double{d[i]} * theta[i] * theta[i];
    }
    return sum;
  };
  const std::vector<float> theta = ThetaOf(power, phi);
  std::vector<float> gradient(kElements);
  for (int64_t i = 0; i < kElements; ++i) gradient[i] = c[i] + d[i] * theta[i];
  power.ChainGradient(Partition(), phi, absl::MakeSpan(gradient));
  for (int64_t i = 0; i < kElements; ++i) {
    const float kept = phi[i];
    phi[i] = kept + 1.0F / 512;
    const double up = loss();
    const double above = phi[i];
    phi[i] = kept - 1.0F / 512;
    const double numeric = (up - loss()) / (above - phi[i]);
    phi[i] = kept;
    // theta is rounded to float32, which differences magnify.
    EXPECT_NEAR(gradient[i], numeric, 1e-2 * (1 + std::abs(numeric))) << i;
  }
}

TEST_P(PowerParametrizations, BeginsWithTheWeightsGiven) {
  const std::vector<float> weights = RandomVector(kElements, 4);
  std::vector<float> phi = weights;
  GetParam().Invert(Partition(), absl::MakeSpan(phi));
  const std::vector<float> theta = ThetaOf(GetParam(), phi);
  for (int64_t i = 0; i < kElements; ++i) EXPECT_NEAR(theta[i], weights[i], 2e-6) << i;
}

TEST_P(PowerParametrizations, PrunedBlocksArePlusZero) {
  Support live(9, 1);
  live[4] = 0;
  std::vector<float> theta(kElements, 7.0F);
  GetParam().Apply(Partition(), live, std::vector<float>(kElements, -1.0F), absl::MakeSpan(theta));
  const std::vector<double> squares = Partition().SumsOfSquares(theta);
  for (size_t b = 0; b < squares.size(); ++b) EXPECT_EQ(squares[b] == 0, b == 4) << b;
  for (const float value : theta) EXPECT_FALSE(value == 0 && std::signbit(value));
}

TEST_P(PowerParametrizations, ABlockAtZeroStaysAtZeroAndFinite) {
  std::vector<float> zeros(kElements, 0.0F);
  GetParam().Invert(Partition(), absl::MakeSpan(zeros));
  EXPECT_THAT(ThetaOf(GetParam(), zeros), testing::Each(0.0F));
  std::vector<float> gradient(kElements, 1.0F);
  GetParam().ChainGradient(Partition(), zeros, absl::MakeSpan(gradient));
  EXPECT_THAT(gradient, testing::Each(0.0F));
}

std::string FormName(const testing::TestParamInfo<PowerParametrization>& info) {
  const char* const names[] = {"Square", "Power", "Block"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Forms, PowerParametrizations,
                         testing::Values(PowerParametrization{Form::kElement, 2},
                                         PowerParametrization{Form::kElement, 3.5},
                                         PowerParametrization{Form::kBlock, 2}),
                         FormName);

TEST(PowerParametrization, IsThePowerOfEachElementOrTheNormTimesTheBlock) {
  // One block of 2 x 2.
  const BlockPartition partition = *LinearLayer("fc", 2, 2, {2, 2}).partition;
  const std::vector<float> phi = {3, -4, 0, 12};
  std::vector<float> theta(4);
  PowerParametrization{Form::kElement, 2}.Apply(partition, {1}, phi, absl::MakeSpan(theta));
  EXPECT_THAT(theta, testing::ElementsAre(9, -16, 0, 144));
  PowerParametrization{Form::kElement, 3}.Apply(partition, {1}, phi, absl::MakeSpan(theta));
  EXPECT_THAT(theta, testing::ElementsAre(27, -64, 0, 1728));
  PowerParametrization{Form::kBlock, 2}.Apply(partition, {1}, phi, absl::MakeSpan(theta));
  EXPECT_THAT(theta, testing::ElementsAre(39, -52, 0, 156));
}

}  // namespace
}  // namespace topiary
