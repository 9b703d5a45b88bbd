#include "worker/features/lasso_selectors.h"

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

// Features 0 and 1 of a row each, feature 2 of two.
CandidateFeatures Candidates() {
  const MethodLayer layer = LinearLayer("w", 4, 2, {1, 2});
  return {layer.weight, layer.partition, {{0}, {1}, {2, 3}}};
}

double Penalty(const std::vector<float>& w, double strength, const std::vector<uint8_t>& chosen) {
  const std::vector<std::vector<int64_t>> rows = {{0}, {1}, {2, 3}};
  double sum = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (chosen[i] != 0) continue;
    double squares = 0;
    for (const int64_t row : rows[i]) {
      squares += double{w[row]} * w[row] + double{w[4 + row]} * w[4 + row];
    }
    sum += std::sqrt(static_cast<double>(rows[i].size()) * squares);
  }
  return strength * sum;
}

TEST(AddLassoGradient, IsThatOfFiniteDifferences) {
  const std::vector<float> weight = RandomVector(8, 1);
  const std::vector<uint8_t> chosen = {0, 1, 0};
  std::vector<float> gradient(8, 1.0F);
  AddLassoGradient(Candidates(), chosen, 0.3, weight, absl::MakeSpan(gradient));
  for (size_t i = 0; i < weight.size(); ++i) {
    std::vector<float> up = weight, down = weight;
    up[i] += 1e-2F;
    down[i] -= 1e-2F;
    const double slope =
        (Penalty(up, 0.3, chosen) - Penalty(down, 0.3, chosen)) / (up[i] - down[i]);
    EXPECT_NEAR(gradient[i], 1 + slope, 1e-3) << i;
  }
}

TEST(AddLassoGradient, IsZeroAtZero) {
  std::vector<float> gradient(8, 0.0F);
  AddLassoGradient(Candidates(), std::vector<uint8_t>(3), 0.3, std::vector<float>(8),
                   absl::MakeSpan(gradient));
  EXPECT_THAT(gradient, Each(0));
}

TEST(SequentialLasso, ChoosesTheLargestRowsAndFreesThem) {
  const auto selector = NewSequentialLasso({1, 0.5, 7}, Candidates(), 2, 2).value();
  FakeWeights weights({std::vector<float>(8, 3.0F)});
  weights.gradients = {std::vector<float>(8)};
  selector->BeginStep(0, weights);
  for (const float value : weights.RawWeights(0)) {
    EXPECT_NE(value, 3);
    EXPECT_LT(std::fabs(value), 0.01F) << "they start small";
  }
  EXPECT_THAT(ScalesOf(*selector, 0), Each(1));
  // Feature 2 has more rows, of a smaller norm each.
  const std::vector<float> w = {1, 2, 1.6F, 1.6F, 0, 0, 0, 0};
  std::copy(w.begin(), w.end(), weights.MutableRawWeights(0).begin());
  selector->AfterUpdate(0.1, weights);
  ASSERT_EQ(selector->chosen().size(), 1);
  EXPECT_EQ(selector->chosen()[0].feature, 1);
  EXPECT_FLOAT_EQ(selector->chosen()[0].score, 2);
  selector->BeginStep(1, weights);
  weights.gradients = {std::vector<float>(8)};
  selector->AfterBackward(weights);
  EXPECT_EQ(weights.gradients[0][1], 0);
  EXPECT_FLOAT_EQ(weights.gradients[0][0], 0.5F);
  selector->AfterUpdate(0.1, weights);
  EXPECT_EQ(selector->chosen()[1].feature, 2);
}

TEST(GroupLassoSelector, ChoosesAllAtTheEnd) {
  const auto selector = NewGroupLassoSelector({0.5, 7}, Candidates(), 2, 4).value();
  FakeWeights weights({std::vector<float>(8)});
  for (int64_t step = 0; step < 4; ++step) {
    EXPECT_TRUE(selector->chosen().empty());
    selector->BeginStep(step, weights);
    selector->AfterUpdate(0.1, weights);
  }
  EXPECT_EQ(selector->chosen().size(), 2);
}

TEST(GroupLassoSelector, DrawsItsStartByTheSeed) {
  const auto start = [](uint64_t seed) {
    const auto selector = NewGroupLassoSelector({0.5, seed}, Candidates(), 1, 4).value();
    FakeWeights weights({std::vector<float>(8)});
    selector->BeginStep(0, weights);
    const absl::Span<const float> values = weights.RawWeights(0);
    return std::vector<float>(values.begin(), values.end());
  };
  EXPECT_EQ(start(1), start(1));
  EXPECT_NE(start(1), start(2));
}

TEST(GroupLassoSelector, RefusesNoStrength) {
  EXPECT_THAT(NewGroupLassoSelector({0, 7}, Candidates(), 2, 4).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("group_lasso.strength is 0")));
}

}  // namespace
}  // namespace topiary
