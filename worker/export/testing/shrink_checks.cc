#include "worker/export/testing/shrink_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/status_matchers.h"
#include "worker/engine/testing/program_fixture.h"

namespace topiary {

std::vector<float> OutputsOf(const Graph& graph, int64_t examples) {
  ProgramOptions options;
  options.batch = examples;
  options.mode = ProgramMode::kInference;
  absl::StatusOr<ProgramFixture> fixture = BuildFixture(graph, options);
  EXPECT_OK(fixture.status());
  if (!fixture.ok()) return {};
  FillWithRandomData(*fixture->program, LossKind::kNone, 7);
  fixture->program->Forward();
  return OutputOf(*fixture->program);
}

ShrunkModel ShrunkAndEqual(const Graph& graph) {
  absl::StatusOr<ShrunkModel> model =
      Shrink(graph, InputShapesForBatch(graph, kShrinkExamples).value());
  EXPECT_OK(model.status());
  if (!model.ok()) return {};
  for (const int64_t examples : {kShrinkExamples, kShrinkExamples + 2}) {
    const std::vector<float> wanted = OutputsOf(graph, examples);
    const std::vector<float> got = OutputsOf(model->graph, examples);
    EXPECT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
      EXPECT_NEAR(got[i], wanted[i], 1e-5 * std::max(1.0F, std::fabs(wanted[i])))
          << "element " << i;
    }
  }
  return *std::move(model);
}

Shape ShapeOf(const ShrunkModel& model, const std::string& name) {
  const Initializer* initializer = model.graph.FindInitializer(name);
  return initializer == nullptr ? Shape({-1}) : initializer->value.shape();
}

void ClearSlice(Graph* graph, const std::string& name, int axis, int64_t index) {
  Tensor& tensor = graph->FindInitializer(name)->value;
  const int64_t inner = tensor.shape().Strides()[axis];
  for (int64_t i = 0; i < tensor.element_count(); ++i) {
    if (i / inner % tensor.shape()[axis] == index) tensor.data<float>()[i] = 0;
  }
}

}  // namespace topiary
