// Whole programs on the CPU backend, whose layouts, fusions and kernels are its own, against
// the same programs on the reference backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/networks.h"
#include "worker/engine/testing/program_fixture.h"
#include "worker/kernels/cpu/cpu_backend.h"

namespace topiary {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::unique_ptr<Backend> NewCpuBackend() {
  CpuBackendOptions options;
  options.threads = 2;
  return *CpuBackend::Create(options);
}

std::vector<GradientCase> AllCases() {
  std::vector<GradientCase> cases = AllGradientCases();
  cases.push_back(ResidualNetwork(16, 4));
  cases.push_back(ResidualNetwork(6, 3));
  cases.push_back(BranchedNetwork(3));
  cases.push_back(Perceptron(8));
  return cases;
}

ProgramOptions OptionsFor(const GradientCase& test_case, ProgramMode mode) {
  ProgramOptions options;
  options.batch = test_case.batch;
  options.loss = test_case.loss;
  options.mode = mode;
  options.seed = 9;
  return options;
}

void ExpectClose(const float* got, const float* want, int64_t count, const std::string& what) {
  double largest = 1e-6;
  for (int64_t i = 0; i < count; ++i) largest = std::max<double>(largest, std::abs(want[i]));
  for (int64_t i = 0; i < count; ++i) {
    ASSERT_NEAR(got[i], want[i], 1e-4 * largest) << what << "[" << i << "]";
  }
}

class CpuProgram : public testing::TestWithParam<int> {};

TEST_P(CpuProgram, TrainsAsTheReferenceDoes) {
  const GradientCase test_case = std::move(AllCases()[GetParam()]);
  const ProgramOptions options = OptionsFor(test_case, ProgramMode::kTraining);
  ASSERT_OK_AND_ASSIGN(ProgramFixture want, BuildFixture(test_case.graph, options));
  ASSERT_OK_AND_ASSIGN(ProgramFixture got, BuildFixture(test_case.graph, options, NewCpuBackend()));
  for (const ProgramFixture* fixture : {&want, &got}) {
    FillWithRandomData(*fixture->program, test_case.loss, 4);
    fixture->program->set_step(2);
    fixture->program->ForwardBackward();
  }
  EXPECT_NEAR(got.program->loss(), want.program->loss(), 1e-4 * std::abs(want.program->loss()));
  const std::vector<float> outputs = OutputOf(*want.program);
  ExpectClose(OutputOf(*got.program).data(), outputs.data(), outputs.size(), "output");
  for (const Parameter& parameter : want.store->parameters()) {
    if (parameter.trainable) {
      ExpectClose(got.gradient(parameter.name), parameter.gradient, parameter.size,
                  "gradient of " + parameter.name);
    } else {
      ExpectClose(got.value(parameter.name), parameter.value, parameter.size, parameter.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Graphs, CpuProgram, testing::Range(0, static_cast<int>(AllCases().size())),
                         [](const testing::TestParamInfo<int>& info) {
                           static const auto* const cases =
                               new std::vector<GradientCase>(AllCases());
                           return (*cases)[info.param].name;
                         });

TEST(CpuProgram, InfersAsTheReferenceDoes) {
  const GradientCase test_case = ResidualNetwork(16, 5);
  const ProgramOptions options = OptionsFor(test_case, ProgramMode::kInference);
  ASSERT_OK_AND_ASSIGN(ProgramFixture want, BuildFixture(test_case.graph, options));
  ASSERT_OK_AND_ASSIGN(ProgramFixture got, BuildFixture(test_case.graph, options, NewCpuBackend()));
  for (const ProgramFixture* fixture : {&want, &got}) {
    FillWithRandomData(*fixture->program, test_case.loss, 4);
    fixture->program->Forward();
  }
  const std::vector<float> outputs = OutputOf(*want.program);
  ExpectClose(OutputOf(*got.program).data(), outputs.data(), outputs.size(), "output");
}

TEST(CpuProgram, RepeatsItsBits) {
  const GradientCase test_case = ResidualNetwork(16, 8);
  const ProgramOptions options = OptionsFor(test_case, ProgramMode::kTraining);
  std::vector<std::vector<float>> runs;
  for (int run = 0; run < 2; ++run) {
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture,
                         BuildFixture(test_case.graph, options, NewCpuBackend()));
    FillWithRandomData(*fixture.program, test_case.loss, 4);
    for (int step = 0; step < 3; ++step) fixture.program->ForwardBackward();
    const absl::Span<float> gradients = fixture.store->trainable_gradients();
    runs.emplace_back(gradients.begin(), gradients.end());
  }
  EXPECT_EQ(runs[0], runs[1]);
}

// Nothing between the first convolution and the pooled features falls back to plain layouts: only
// the image may be reordered, and weights.
TEST(CpuProgram, KeepsTheLayoutOfConvolutionsAcrossLayers) {
  const GradientCase test_case = ResidualNetwork(16, 4);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture,
                       BuildFixture(test_case.graph, OptionsFor(test_case, ProgramMode::kTraining),
                                    NewCpuBackend()));
  int reorders = 0;
  for (const std::string& step : fixture.program->statistics().forward_steps) {
    if (step.rfind("Reorder", 0) == 0) ++reorders;
  }
  EXPECT_LE(reorders, 1) << testing::PrintToString(fixture.program->statistics().forward_steps);
  EXPECT_THAT(fixture.program->statistics().forward_steps,
              Contains(HasSubstr("BatchNormForwardTraining+add+relu")));
  EXPECT_THAT(fixture.program->statistics().backward_steps,
              Contains(HasSubstr("BatchNormBackward+add+relu+sum")));
}

}  // namespace
}  // namespace topiary
