#include "worker/features/linear_omp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Columns = std::vector<std::vector<double>>;

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The solution of the normal equations of least squares, by elimination with pivoting.
std::vector<double> LeastSquares(const Columns& x, const std::vector<double>& y) {
  const size_t n = x.size();
  std::vector<std::vector<double>> a(n, std::vector<double>(n + 1));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) a[i][j] = Dot(x[i], x[j]);
    a[i][n] = Dot(x[i], y);
  }
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t r = i + 1; r < n; ++r) {
      if (std::fabs(a[r][i]) > std::fabs(a[pivot][i])) pivot = r;
    }
    std::swap(a[i], a[pivot]);
    for (size_t r = 0; r < n; ++r) {
      if (r == i) continue;
      const double factor = a[r][i] / a[i][i];
      for (size_t j = i; j <= n; ++j) a[r][j] -= factor * a[i][j];
    }
  }
  std::vector<double> solution;
  for (size_t i = 0; i < n; ++i) solution.push_back(a[i][n] / a[i][i]);
  return solution;
}

std::vector<double> Residual(const Columns& x, const std::vector<int64_t>& chosen,
                             const std::vector<double>& y) {
  Columns of_chosen;
  for (const int64_t i : chosen) of_chosen.push_back(x[i]);
  std::vector<double> r = y;
  if (chosen.empty()) return r;
  const std::vector<double> beta = LeastSquares(of_chosen, y);
  for (size_t i = 0; i < beta.size(); ++i) {
    for (size_t row = 0; row < r.size(); ++row) r[row] -= beta[i] * of_chosen[i][row];
  }
  return r;
}

// From its definition: r the residual of least squares on S, next argmax |x_i' r|.
std::vector<int64_t> Oracle(const Columns& x, const std::vector<double>& y, int64_t count) {
  std::vector<int64_t> chosen;
  while (static_cast<int64_t>(chosen.size()) < count) {
    const std::vector<double> r = Residual(x, chosen, y);
    int64_t best = -1;
    for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
      if (std::count(chosen.begin(), chosen.end(), i) > 0) continue;
      if (best < 0 || std::fabs(Dot(x[i], r)) > std::fabs(Dot(x[best], r))) best = i;
    }
    chosen.push_back(best);
  }
  return chosen;
}

struct Problem {
  Dataset data;
  FeatureLayer features;
  Columns x;              // Centered, of unit norm.
  std::vector<double> y;  // Centered.
};

void Center(std::vector<double>* values) {
  double sum = 0;
  for (const double v : *values) sum += v;
  for (double& v : *values) v -= sum / static_cast<double>(values->size());
}

// Correlated columns of different scales and offsets, and a target of some of them with noise.
Problem NewProblem(uint64_t seed, int64_t rows = 60, int64_t columns = 10) {
  Random random(seed, kStreamTest, 0);
  Problem problem;
  std::vector<float> values(rows * columns), targets(rows);
  problem.x.resize(columns);
  for (int64_t row = 0; row < rows; ++row) {
    const float shared = random.Normal();
    double target = 3;
    for (int64_t j = 0; j < columns; ++j) {
      const float value =
          (random.Normal() + 0.8F * shared) * static_cast<float>(j + 1) + static_cast<float>(5 * j);
      values[row * columns + j] = value;
      problem.x[j].push_back(value);
      if (j % 3 == 0) target += value / static_cast<double>(j + 1) * (1 + 0.1 * j);
    }
    targets[row] = static_cast<float>(target + 0.5 * random.Normal());
    problem.y.push_back(targets[row]);
  }
  for (std::vector<double>& column : problem.x) {
    Center(&column);
    const double norm = std::sqrt(Dot(column, column));
    for (double& v : column) v /= norm;
  }
  Center(&problem.y);
  problem.features.inputs = {"x"};
  problem.data.inputs.push_back({"x", Tensor::FromVector(Shape({rows, columns}), values)});
  problem.data.labels = {"y", Tensor::FromVector(Shape({rows}), targets)};
  for (int64_t j = 0; j < columns; ++j) problem.features.features.push_back({"", {{0, j}}, {j}});
  return problem;
}

std::vector<int64_t> Chosen(const Problem& problem, int64_t count) {
  SelectionData data;
  data.train = &problem.data;
  const auto chosen = SelectByLinearOmp({}, problem.features, count, data);
  std::vector<int64_t> features;
  for (const ChosenFeature& choice : chosen.value()) features.push_back(choice.feature);
  return features;
}

TEST(LinearOmp, ChoosesAsItsDefinition) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Problem problem = NewProblem(seed);
    EXPECT_EQ(Chosen(problem, 7), Oracle(problem.x, problem.y, 7)) << seed;
  }
}

// Regularized linear Sequential Attention: least squares in which an unselected feature has the
// coefficient w_i b_i, under (lambda / 2) (w_i^2 + b_i^2), and a selected one b_i, free. By Hoff's
// identity that is a LASSO on the unselected ones, of which just below the critical lambda the one
// of OMP alone leaves 0 (Yasuda et al., 2023). Gradient descent from small values finds it.
TEST(LinearOmp, ChoosesAsRegularizedLinearSequentialAttentionAtTheCriticalWeight) {
  for (uint64_t seed = 0; seed < 2; ++seed) {
    const Problem problem = NewProblem(seed, 40, 8);
    const std::vector<int64_t> omp = Chosen(problem, 5);
    std::vector<int64_t> selected;
    while (selected.size() < omp.size()) {
      const std::vector<double> start = Residual(problem.x, selected, problem.y);
      double critical = 0;
      std::vector<uint8_t> is_selected(problem.x.size(), 0);
      for (const int64_t i : selected) is_selected[i] = 1;
      for (size_t i = 0; i < problem.x.size(); ++i) {
        if (is_selected[i] == 0) critical = std::max(critical, std::fabs(Dot(problem.x[i], start)));
      }
      const double lambda = 0.99 * critical;
      std::vector<double> w(problem.x.size(), 0.01), b(problem.x.size(), 0.0);
      Columns of_selected;
      for (const int64_t i : selected) of_selected.push_back(problem.x[i]);
      const std::vector<double> solved = LeastSquares(of_selected, problem.y);
      for (size_t i = 0; i < selected.size(); ++i) b[selected[i]] = solved[i];
      for (int step = 0; step < 15000; ++step) {
        std::vector<double> r = problem.y;
        for (size_t i = 0; i < w.size(); ++i) {
          const double coefficient = is_selected[i] != 0 ? b[i] : w[i] * b[i];
          for (size_t row = 0; row < r.size(); ++row) r[row] -= coefficient * problem.x[i][row];
        }
        const double rate = 0.1 / critical;
        for (size_t i = 0; i < w.size(); ++i) {
          const double slope = -Dot(problem.x[i], r);
          if (is_selected[i] != 0) {
            b[i] -= 0.1 * slope;
            continue;
          }
          const double dw = slope * b[i] + lambda * w[i];
          b[i] -= rate * (slope * w[i] + lambda * b[i]);
          w[i] -= rate * dw;
        }
      }
      int64_t entered = -1;
      for (size_t i = 0; i < w.size(); ++i) {
        if (is_selected[i] != 0) continue;
        if (entered < 0 || std::fabs(w[i] * b[i]) > std::fabs(w[entered] * b[entered])) {
          entered = static_cast<int64_t>(i);
        }
      }
      EXPECT_EQ(entered, omp[selected.size()]) << "seed " << seed;
      EXPECT_GT(std::fabs(w[entered] * b[entered]), 1e-3 * critical) << "it has left 0";
      selected.push_back(omp[selected.size()]);
    }
  }
}

// One column tells class 0 from the others, one class 1 from 2, the third is noise.
TEST(LinearOmp, ClassesAreColumnsOfOnesAndZeros) {
  Problem problem;
  std::vector<float> values;
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < 30; ++row) {
    const int64_t label = row % 3;
    Random random(1, kStreamTest, row);
    values.push_back(random.Normal());
    values.push_back(label == 0 ? 7 : 2);
    values.push_back((label == 1 ? 1.0F : 0.0F) + 0.1F * random.Normal());
    labels.push_back(label);
  }
  problem.features.inputs = {"x"};
  problem.data.inputs.push_back({"x", Tensor::FromVector(Shape({30, 3}), values)});
  problem.data.labels = {"y", Tensor::FromVector(Shape({30}), labels)};
  for (int64_t j = 0; j < 3; ++j) problem.features.features.push_back({"", {{0, j}}, {j}});
  EXPECT_THAT(Chosen(problem, 2), ElementsAre(1, 2));
}

// Two columns that are worth little alone, and all together.
TEST(LinearOmp, AGroupIsChosenByAllItsColumns) {
  Problem problem = NewProblem(1, 40, 3);
  std::vector<float> values(40 * 3), targets(40);
  for (int64_t row = 0; row < 40; ++row) {
    Random random(2, kStreamTest, row);
    const float a = random.Normal(), b = random.Normal();
    values[3 * row] = 0.9F * (a + b) + random.Normal();
    values[3 * row + 1] = a;
    values[3 * row + 2] = b;
    targets[row] = a + b;
  }
  problem.data.inputs[0].values = Tensor::FromVector(Shape({40, 3}), values);
  problem.data.labels.values = Tensor::FromVector(Shape({40}), targets);
  EXPECT_THAT(Chosen(problem, 1), ElementsAre(0));
  problem.features.features = {{"", {{0, 0}}, {0}}, {"pair", {{0, 1}, {0, 2}}, {1, 2}}};
  EXPECT_THAT(Chosen(problem, 1), ElementsAre(1));
}

TEST(LinearOmp, ConstantAndRepeatedColumnsComeLast) {
  Problem problem = NewProblem(3, 40, 4);
  const absl::Span<float> values = problem.data.inputs[0].values.span<float>();
  for (int64_t row = 0; row < 40; ++row) {
    values[4 * row] = 0.1F;
    values[4 * row + 2] = 3 * values[4 * row + 1] + 1;
  }
  const std::vector<int64_t> chosen = Chosen(problem, 3);
  ASSERT_EQ(chosen.size(), 3);
  EXPECT_THAT(
      std::vector<int64_t>(chosen.begin(), chosen.begin() + 2),
      testing::AnyOf(testing::UnorderedElementsAre(1, 3), testing::UnorderedElementsAre(2, 3)));
}

TEST(LinearOmp, RefusesIdsAndObeysLimitAndCheck) {
  Problem problem = NewProblem(4);
  SelectionData data;
  data.train = &problem.data;
  data.memory_limit_bytes = 100;
  EXPECT_THAT(SelectByLinearOmp({}, problem.features, 2, data).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("omp_linear")));
  data.memory_limit_bytes = 0;
  data.check = [] { return absl::CancelledError("stop"); };
  EXPECT_THAT(SelectByLinearOmp({}, problem.features, 2, data).status(),
              StatusIs(absl::StatusCode::kCancelled));
  problem.data.inputs[0].values = Tensor(DType::kInt64, Shape({60, 10}));
  EXPECT_THAT(SelectByLinearOmp({}, problem.features, 2, SelectionData{&problem.data}).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("ids")));
}

}  // namespace
}  // namespace topiary
