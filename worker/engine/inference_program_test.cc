#include "worker/engine/inference_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatch = GraphBuilder::kBatch;

// Softmax over the classes or, mixing the examples, over the batch.
Graph Classifier(int64_t softmax_axis, int64_t width = 16) {
  return GraphBuilder()
      .Input("x", {kBatch, 3})
      .Weight("w", {3, width})
      .Node("MatMul", {"x", "w"}, {"logits"})
      .Node("Softmax", {"logits"}, {"y"}, {Int("axis", softmax_axis)})
      .Output("y")
      .Output("logits")
      .Build();
}

struct Fixture {
  ReferenceBackend backend;
  std::unique_ptr<ParameterStore> store;
  absl::StatusOr<std::unique_ptr<InferenceProgram>> program;

  Fixture(const Graph& graph, const InferenceOptions& options)
      : store(*ParameterStore::Create(graph, &backend)),
        program(InferenceProgram::Build(graph, store.get(), &backend, options)) {}

  // The outputs for numbers that are the same for the same batch.
  std::vector<float> Run() const {
    const StagedTensor& x = (*program)->inputs()[0];
    Random random(3, kStreamTest, 1);
    for (int64_t i = 0; i < x.shape.element_count(); ++i) {
      static_cast<float*>(x.data)[i] = random.Normal();
    }
    (*program)->Run();
    std::vector<float> all;
    for (const StagedTensor& output : (*program)->outputs()) {
      const auto* data = static_cast<const float*>(output.data);
      all.insert(all.end(), data, data + output.shape.element_count());
    }
    return all;
  }
};

InferenceOptions Options(int64_t batch, int64_t examples_at_once) {
  InferenceOptions options;
  options.batch = batch;
  options.examples_at_once = examples_at_once;
  return options;
}

TEST(InferenceProgram, PartsOfABatchGiveWhatTheWholeGives) {
  const Fixture whole(Classifier(1), Options(12, 12));
  ASSERT_OK(whole.program.status());
  const std::vector<float> expected = whole.Run();
  ASSERT_EQ(expected.size(), 2u * 12 * 16);
  for (const int64_t examples : {1, 4, 6}) {
    const Fixture parts(Classifier(1), Options(12, examples));
    ASSERT_OK(parts.program.status());
    EXPECT_EQ((*parts.program)->examples_at_once(), examples);
    EXPECT_EQ((*parts.program)->batch(), 12);
    EXPECT_EQ((*parts.program)->inputs()[0].shape, Shape({12, 3}));
    EXPECT_EQ((*parts.program)->outputs()[1].shape, Shape({12, 16}));
    EXPECT_EQ(parts.Run(), expected);
  }
}

TEST(InferenceProgram, TakesAsManyAsFitTheCaches) {
  // A megabyte of activations for each example; and few bytes.
  const Fixture large(Classifier(1, 1 << 17), Options(6, 0));
  ASSERT_OK(large.program.status());
  EXPECT_LT((*large.program)->examples_at_once(), 6);
  const Fixture small(Classifier(1), Options(6, 0));
  ASSERT_OK(small.program.status());
  EXPECT_EQ((*small.program)->examples_at_once(), 6);
}

TEST(InferenceProgram, ExamplesThatDependOnOneAnotherStayTogether) {
  const Fixture mixed(Classifier(0, 1 << 17), Options(6, 0));
  ASSERT_OK(mixed.program.status());
  EXPECT_EQ((*mixed.program)->examples_at_once(), 6);
  EXPECT_THAT(Fixture(Classifier(0), Options(6, 2)).program.status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("depend on one another")));
}

TEST(InferenceProgram, RefusesPartsThatDoNotMakeTheBatch) {
  for (const int64_t examples : {-1, 4, 12}) {
    EXPECT_THAT(Fixture(Classifier(1), Options(6, examples)).program.status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("do not divide")));
  }
}

}  // namespace
}  // namespace topiary
