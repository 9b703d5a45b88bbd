#include "worker/prune/group_lasso.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 100;

// 11 x 15 blocks, those of the last row with 2 x 4 elements.
MethodLayer Layer() { return LinearLayer("fc", 42, 60, {4, 4}); }
constexpr int64_t kElements = 42 * 60;

std::unique_ptr<Method> LassoWith(double strength) {
  PruningTarget target;
  target.sparsity = 0.9;
  GroupLassoOptions options;
  options.strength = strength;
  return NewGroupLasso(options, target, {Layer()}, kSteps).value();
}

// 0.5 |W - V|^2 + threshold * sum_b sqrt(n_b) |W_b|.
double Objective(const std::vector<float>& w, const std::vector<float>& v, double threshold) {
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += 0.5 * std::pow(double{w[i]} - double{v[i]}, 2);
  const std::vector<double> squares = Layer().partition->SumsOfSquares(w);
  for (size_t b = 0; b < squares.size(); ++b) {
    sum += threshold * std::sqrt(squares[b]) *
           std::sqrt(static_cast<double>(Layer().partition->ElementsIn(static_cast<int64_t>(b))));
  }
  return sum;
}

TEST(GroupLasso, LeavesWhatIsNotANumberToBeSeenAsDivergence) {
  std::vector<float> values = RandomVector(kElements, 1);
  values[7] = std::nanf("");
  FakeWeights weights({values});
  const auto method = LassoWith(10);
  method->BeginStep(0, weights);
  method->AfterUpdate(0.1, weights);
  EXPECT_TRUE(std::isnan(weights.RawWeights(0)[7]));
}

// The definition of a proximal step: no other weights have a smaller objective.
TEST(GroupLasso, TheStepMinimizesThePenaltyPlusTheSquaredDistance) {
  const std::vector<float> before = RandomVector(kElements, 1);
  FakeWeights weights({before});
  const auto method = LassoWith(10);
  method->BeginStep(0, weights);
  method->AfterUpdate(0.1, weights);  // Threshold 1 times the root of the elements.
  const absl::Span<const float> values = weights.RawWeights(0);
  const std::vector<float> after(values.begin(), values.end());
  const double least = Objective(after, before, 1);
  for (uint64_t seed = 10; seed < 60; ++seed) {
    const std::vector<float> direction = RandomVector(kElements, seed);
    for (const float step : {1e-3F, 1e-2F, 0.1F}) {
      std::vector<float> other = after;
      for (int64_t i = 0; i < kElements; ++i) other[i] += step * direction[i];
      EXPECT_GT(Objective(other, before, 1), least);
    }
  }
  // Some blocks are 0 and some are not: both sides of the threshold.
  int64_t zero = 0;
  for (const double square : Layer().partition->SumsOfSquares(after)) zero += square == 0 ? 1 : 0;
  EXPECT_GT(zero, 10);
  EXPECT_LT(zero, 155);
}

TEST(GroupLasso, ShrinksTheNormOfABlockByTheThreshold) {
  std::vector<float> values(kElements, 1.0F);
  FakeWeights weights({values});
  const auto method = LassoWith(0.5);
  method->BeginStep(0, weights);
  method->AfterUpdate(0.2, weights);
  // The norm of a block of ones is the root of its elements: all shrink alike, by 0.5 * 0.2.
  for (const float value : weights.RawWeights(0)) EXPECT_NEAR(value, 0.9F, 1e-6);
}

TEST(GroupLasso, KeepsTheLargestBlocksAtItsEndAndShrinksNoMore) {
  FakeWeights weights({RandomVector(kElements, 2)});
  const auto method = LassoWith(1e-3);
  for (int64_t step = 0; step < 70; ++step) {
    method->BeginStep(step, weights);
    EXPECT_EQ(LiveBlocks(method->support(0)), 165) << step;
    method->AfterUpdate(0.1, weights);
  }
  const absl::Span<const float> values = weights.RawWeights(0);
  const std::vector<float> shrunk(values.begin(), values.end());
  const std::vector<double> squares = Layer().partition->SumsOfSquares(shrunk);
  for (int64_t step = 70; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    method->AfterUpdate(0.1, weights);
  }
  EXPECT_EQ(method->support(0),
            SelectTopBlocks(std::vector<float>(squares.begin(), squares.end()), {}, 17));
  EXPECT_EQ(weights.RawWeights(0), absl::MakeConstSpan(shrunk));
}

TEST(GroupLasso, ABlockAtZeroStaysFinite) {
  FakeWeights weights({std::vector<float>(kElements, 0.0F)});
  const auto method = LassoWith(1);
  method->BeginStep(0, weights);
  method->AfterUpdate(0.1, weights);
  for (const float value : weights.RawWeights(0)) EXPECT_EQ(value, 0);
}

struct BadOptions {
  const char* what;
  GroupLassoOptions options;
};

class GroupLassoRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(GroupLassoRefuses, NamingTheField) {
  EXPECT_THAT(NewGroupLasso(GetParam().options, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().what)));
}

INSTANTIATE_TEST_SUITE_P(Options, GroupLassoRefuses,
                         testing::Values(BadOptions{"none for the penalty", {1e-3, 0.004}},
                                         BadOptions{"group_lasso.strength", {0, 0.7}},
                                         BadOptions{"group_lasso.strength", {std::nan(""), 0.7}},
                                         BadOptions{"group_lasso.end_fraction", {1e-3, 0}},
                                         BadOptions{"group_lasso.end_fraction", {1e-3, 1}}));

}  // namespace
}  // namespace topiary
