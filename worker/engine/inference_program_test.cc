#include "worker/engine/inference_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::Each;
using testing::FloatNear;
using testing::Gt;
using testing::HasSubstr;
using testing::Pointwise;

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

// The outputs for numbers that are the same for the same batch.
std::vector<float> OutputsOf(InferenceProgram* program) {
  const StagedTensor& x = program->inputs()[0];
  Random random(3, kStreamTest, 1);
  for (int64_t i = 0; i < x.shape.element_count(); ++i) {
    static_cast<float*>(x.data)[i] = random.Normal();
  }
  program->Run();
  std::vector<float> all;
  for (const StagedTensor& output : program->outputs()) {
    const auto* data = static_cast<const float*>(output.data);
    all.insert(all.end(), data, data + output.shape.element_count());
  }
  return all;
}

void DoubleWeights(ParameterStore* store) {
  for (float& weight : store->trainable_values()) weight *= 2;
  store->MarkChanged();
}

struct Fixture {
  ReferenceBackend backend;
  std::unique_ptr<ParameterStore> store;
  absl::StatusOr<std::unique_ptr<InferenceProgram>> program;

  Fixture(const Graph& graph, const InferenceOptions& options)
      : store(*ParameterStore::Create(graph, &backend)),
        program(InferenceProgram::Build(graph, store.get(), &backend, options)) {}

  std::vector<float> Run() const { return OutputsOf(program->get()); }
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
    EXPECT_EQ((*parts.program)->parts().examples, examples);
    EXPECT_EQ((*parts.program)->batch(), 12);
    EXPECT_EQ((*parts.program)->inputs()[0].shape, Shape({12, 3}));
    EXPECT_EQ((*parts.program)->outputs()[1].shape, Shape({12, 16}));
    EXPECT_EQ(parts.Run(), expected);
  }
}

// Each thread takes its share of the parts, with the weights' copies of the first.
TEST(InferenceProgram, PartsThatRunAtTheSameTimeGiveWhatTheWholeGives) {
  const Graph graph = Classifier(1);
  CpuBackendOptions backend_options;
  backend_options.threads = 2;
  const auto backend = *CpuBackend::Create(backend_options);
  const Fixture whole(graph, Options(10, 10));
  const std::vector<float> before = whole.Run();
  DoubleWeights(whole.store.get());
  const std::vector<float> after = whole.Run();
  ASSERT_NE(before, after);

  for (const int64_t examples : {2, 1}) {  // Five parts of two lanes are shared unevenly.
    const auto store = *ParameterStore::Create(graph, backend.get());
    const auto program =
        *InferenceProgram::Build(graph, store.get(), backend.get(), Options(10, examples));
    EXPECT_EQ(program->parts().lanes, 2);
    EXPECT_EQ(program->parts().parts, 10 / examples);
    EXPECT_THAT(OutputsOf(program.get()), Pointwise(FloatNear(1e-5), before));
    DoubleWeights(store.get());
    EXPECT_THAT(OutputsOf(program.get()), Pointwise(FloatNear(1e-5), after));
    std::vector<double> seconds(program->statistics().forward_steps.size(), 0);
    program->RunTimed(absl::MakeSpan(seconds));
    EXPECT_THAT(seconds, Each(Gt(0)));
  }
}

TEST(InferenceProgram, PartsRunAtTheSameTimeWhereTheyKeepThreadsBusy) {
  const auto lanes = [](int64_t batch, int64_t examples, int threads) {
    return InferenceProgram::PartsOf(Classifier(1), Options(batch, examples), threads)->lanes;
  };
  EXPECT_EQ(lanes(4, 4, 2), 1);  // One part.
  EXPECT_EQ(lanes(4, 2, 2), 2);
  EXPECT_EQ(lanes(4, 1, 1), 1);
  EXPECT_EQ(lanes(3, 1, 2), 2);
  EXPECT_EQ(lanes(3, 1, 4), 1);   // Fewer parts than threads.
  EXPECT_EQ(lanes(9, 1, 8), 1);   // One thread would take two, seven would wait for it.
  EXPECT_EQ(lanes(12, 1, 8), 8);  // Three quarters of the threads work.
}

TEST(InferenceProgram, TakesAsManyAsFitTheCaches) {
  // A megabyte of activations for each example; and few bytes.
  const Fixture large(Classifier(1, 1 << 17), Options(6, 0));
  ASSERT_OK(large.program.status());
  EXPECT_LT((*large.program)->parts().examples, 6);
  const Fixture small(Classifier(1), Options(6, 0));
  ASSERT_OK(small.program.status());
  EXPECT_EQ((*small.program)->parts().examples, 6);
}

TEST(InferenceProgram, ExamplesThatDependOnOneAnotherStayTogether) {
  const Fixture mixed(Classifier(0, 1 << 17), Options(6, 0));
  ASSERT_OK(mixed.program.status());
  EXPECT_EQ((*mixed.program)->parts().examples, 6);
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
