#include "worker/features/stochastic_gates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int64_t kFeatures = 6;

CandidateFeatures Candidates() {
  const MethodLayer layer = LinearLayer("w", kFeatures, 2, {1, 2});
  CandidateFeatures candidates{layer.weight, layer.partition, {}};
  for (int64_t i = 0; i < kFeatures; ++i) candidates.rows.push_back({i});
  return candidates;
}

std::unique_ptr<FeatureSelector> New(const StochasticGatesOptions& options) {
  return NewStochasticGates(options, Candidates(), 2, 10).value();
}

absl::Span<float> Gates(FeatureSelector& selector) {
  const TrainableState state = selector.trainable_state()[0];
  return {state.value, static_cast<size_t>(state.size)};
}

absl::Span<float> Gradient(FeatureSelector& selector) {
  const TrainableState state = selector.trainable_state()[0];
  return {state.gradient, static_cast<size_t>(state.size)};
}

TEST(StochasticGates, AreOpenHalfWayBetweenStepsAndNoisyInThem) {
  const auto selector = New({});
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  EXPECT_THAT(ScalesOf(*selector, 0), Each(0.5F));
  selector->BeginStep(0, weights);
  const std::vector<float> first = ScalesOf(*selector, 0);
  selector->BeginStep(1, weights);
  EXPECT_NE(ScalesOf(*selector, 0), first);
  selector->BeginStep(0, weights);
  EXPECT_EQ(ScalesOf(*selector, 0), first) << "noise is of the step";
  for (const float gate : first) EXPECT_TRUE(gate >= 0 && gate <= 1);
  selector->RefreshScales();
  EXPECT_THAT(ScalesOf(*selector, 0), Each(0.5F));
}

// Of sum_i c_i gate_i + strength * sum_i Phi(mu_i / deviation), with the noise of a step.
TEST(StochasticGates, GradientIsThatOfFiniteDifferences) {
  const StochasticGatesOptions options = {0.3, 0.5, 1, 7};
  const std::vector<float> c = RandomVector(kFeatures, 1);
  const auto selector = New(options);
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  const auto loss = [&] {
    selector->BeginStep(3, weights);
    double sum = 0;
    for (int64_t i = 0; i < kFeatures; ++i) {
      sum += double{c[i]} * selector->scales(0)[i] +
             0.3 * 0.5 * std::erfc(-Gates(*selector)[i] / 0.5 / std::sqrt(2.0));
    }
    return sum;
  };
  loss();
  int open = 0;
  for (const float gate : selector->scales(0)) open += gate > 0 && gate < 1 ? 1 : 0;
  ASSERT_GT(open, 0);
  ASSERT_LT(open, kFeatures) << "some are shut or wide open";
  const std::vector<absl::Span<const float>> products = {c};
  selector->EndStep(products);
  const std::vector<float> gradient(Gradient(*selector).begin(), Gradient(*selector).end());
  for (int64_t i = 0; i < kFeatures; ++i) {
    Gates(*selector)[i] += 1e-3F;
    const double up = loss();
    Gates(*selector)[i] -= 2e-3F;
    const double down = loss();
    Gates(*selector)[i] += 1e-3F;
    EXPECT_NEAR(gradient[i], (up - down) / 2e-3, 1e-3) << i;
  }
}

TEST(StochasticGates, ChooseTheHighestAtTheEnd) {
  const auto selector = New({});
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  Gates(*selector)[4] = 2;
  Gates(*selector)[1] = 3;
  selector->BeginStep(9, weights);
  selector->AfterUpdate(1, weights);
  ASSERT_EQ(selector->chosen().size(), 2);
  EXPECT_EQ(selector->chosen()[0].feature, 1);
  EXPECT_EQ(selector->chosen()[1].feature, 4);
  EXPECT_EQ(selector->chosen()[0].score, 3);
}

TEST(StochasticGates, RefuseOptionsOutOfRange) {
  const auto refuses = [](const StochasticGatesOptions& options, const std::string& message) {
    EXPECT_THAT(NewStochasticGates(options, Candidates(), 2, 10).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refuses({-1, 0.5, 1, 0}, "strength");
  refuses({1, 0, 1, 0}, "deviation");
  refuses({1, 0.5, 0, 0}, "gates_learning_rate_multiplier");
}

}  // namespace
}  // namespace topiary
