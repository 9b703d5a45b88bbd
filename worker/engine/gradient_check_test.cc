// Every operator's gradient, through whole programs, against central differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/program_fixture.h"
#include "worker/model/op_schema.h"

namespace topiary {
namespace {

constexpr float kStep = 4e-3f;
constexpr double kTolerance = 0.01;  // Of the largest component of the gradient.
constexpr int64_t kMostElements = 60;

std::vector<double> NumericGradient(const ProgramFixture& fixture, const Parameter& parameter,
                                    const std::vector<int64_t>& elements) {
  std::vector<double> gradient;
  for (int64_t i : elements) {
    const float original = parameter.value[i];
    double losses[2];
    for (int side = 0; side < 2; ++side) {
      parameter.value[i] = original + (side == 0 ? -kStep : kStep);
      fixture.store->MarkChanged();
      fixture.program->Forward();
      losses[side] = fixture.program->loss();
    }
    parameter.value[i] = original;
    gradient.push_back((losses[1] - losses[0]) / (2 * double{kStep}));
  }
  return gradient;
}

std::vector<int64_t> ElementsToCheck(int64_t size) {
  std::vector<int64_t> elements;
  const int64_t stride = std::max<int64_t>(1, size / kMostElements);
  for (int64_t i = 0; i < size; i += stride) elements.push_back(i);
  return elements;
}

class GradientCheck : public testing::TestWithParam<int> {};

TEST_P(GradientCheck, AgreesWithFiniteDifferences) {
  const GradientCase test_case = std::move(AllGradientCases()[GetParam()]);
  ProgramOptions options;
  options.batch = test_case.batch;
  options.loss = test_case.loss;
  options.teacher_losses = test_case.teacher_losses;
  options.seed = 5;
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(test_case.graph, options));
  FillWithRandomData(*fixture.program, test_case.loss, 3);
  fixture.program->set_step(11);
  fixture.program->ForwardBackward();
  ASSERT_TRUE(std::isfinite(fixture.program->loss()));
  int checked = 0;
  for (const Parameter& parameter : fixture.store->parameters()) {
    if (!parameter.trainable) continue;
    const std::vector<float> analytic(parameter.gradient, parameter.gradient + parameter.size);
    const std::vector<int64_t> elements = ElementsToCheck(parameter.size);
    const std::vector<double> numeric = NumericGradient(fixture, parameter, elements);
    double largest = 1e-3;
    for (double component : numeric) largest = std::max(largest, std::abs(component));
    for (size_t i = 0; i < elements.size(); ++i) {
      EXPECT_NEAR(analytic[elements[i]], numeric[i], kTolerance * largest)
          << parameter.name << "[" << elements[i] << "]";
    }
    ++checked;
  }
  EXPECT_GT(checked, 0);
}

// What is computed again instead of being kept has the same bits, and so have the gradients.
TEST_P(GradientCheck, IsTheSameWithLessKept) {
  const GradientCase test_case = std::move(AllGradientCases()[GetParam()]);
  std::vector<std::vector<float>> gradients[2];
  for (const bool again : {false, true}) {
    ProgramOptions options;
    options.batch = test_case.batch;
    options.loss = test_case.loss;
    options.teacher_losses = test_case.teacher_losses;
    options.recompute_from = again ? 0 : std::numeric_limits<int64_t>::max();
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(test_case.graph, options));
    FillWithRandomData(*fixture.program, test_case.loss, 3);
    fixture.program->ForwardBackward();
    for (const Parameter& parameter : fixture.store->parameters()) {
      if (!parameter.trainable) continue;
      gradients[again].emplace_back(parameter.gradient, parameter.gradient + parameter.size);
    }
  }
  EXPECT_EQ(gradients[0], gradients[1]);
}

std::vector<std::string> CaseNames() {
  std::vector<std::string> names;
  for (const GradientCase& test_case : AllGradientCases()) names.push_back(test_case.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Operators, GradientCheck,
                         testing::Range(0, static_cast<int>(AllGradientCases().size())),
                         [](const testing::TestParamInfo<int>& info) {
                           return CaseNames()[info.param];
                         });

TEST(GradientCheckTable, CoversEveryOperatorThatRunsOnABatch) {
  std::set<std::string> covered;
  for (const GradientCase& test_case : AllGradientCases()) {
    for (const Node& node : test_case.graph.nodes) covered.insert(node.op_type);
  }
  for (const OpSchema& schema : OpSchemas()) {
    if (!schema.runs) continue;
    EXPECT_NE(FindOpRule(schema.op_type), nullptr) << schema.op_type;
    EXPECT_EQ(covered.count(std::string(schema.op_type)), 1u) << schema.op_type;
  }
}

}  // namespace
}  // namespace topiary
