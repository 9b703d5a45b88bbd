#include "worker/engine/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/networks.h"
#include "worker/engine/testing/program_fixture.h"

namespace topiary {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

ProgramOptions Options(const GradientCase& model, ProgramMode mode = ProgramMode::kTraining) {
  ProgramOptions options;
  options.batch = model.batch;
  options.loss = model.loss;
  options.mode = mode;
  return options;
}

GradientCase Normalizer(float momentum) {
  return GradientGraph()
      .Input("x", {GraphBuilder::kBatch, 1})
      .Constant("s", Tensor::FromVector<float>({1}, {1}))
      .Constant("b", Tensor::FromVector<float>({1}, {0}))
      .Statistics("m", "v", 1)
      .Node("BatchNormalization", {"x", "s", "b", "m", "v"}, "y",
            {Float("momentum", momentum), Float("epsilon", 1e-9f)})
      .Output("y")
      .Finish("", LossKind::kMeanSquaredError, 4);
}

void SetInput(const Program& program, const std::vector<float>& values) {
  std::copy(values.begin(), values.end(), static_cast<float*>(program.inputs()[0].data));
}

TEST(Program, TrainingReducesTheLoss) {
  const GradientCase model = ResidualNetwork(4, 6);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  ASSERT_OK_AND_ASSIGN(const auto optimizer, Optimizer::Create({}, fixture.store.get()));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->ForwardBackward();
  const float before = fixture.program->loss();
  for (int step = 0; step < 50; ++step) {
    optimizer->Step(0.2f);
    fixture.program->ForwardBackward();
  }
  EXPECT_LT(fixture.program->loss(), before / 2);
}

TEST(Program, BatchNormTrainsByTheBatchThoughTheFileSaysInference) {
  const GradientCase model = Normalizer(0.75f);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  SetInput(*fixture.program, {1, 2, 3, 6});  // Mean 3, biased variance 3.5, unbiased 14 / 3.
  const uint64_t version = fixture.store->version();
  fixture.program->Forward();
  EXPECT_FLOAT_EQ(OutputOf(*fixture.program)[3], 3 / std::sqrt(3.5f));
  EXPECT_FLOAT_EQ(fixture.value("m")[0], 0.25f * 3);
  EXPECT_FLOAT_EQ(fixture.value("v")[0], 0.75f + 0.25f * 14 / 3);
  EXPECT_NE(fixture.store->version(), version);
}

TEST(Program, InferenceUsesTheRunningStatisticsThatTrainingLeft) {
  const GradientCase model = Normalizer(0.0f);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  ASSERT_OK_AND_ASSIGN(const auto inference,
                       Program::Build(model.graph, fixture.store.get(), fixture.backend.get(),
                                      Options(model, ProgramMode::kInference)));
  SetInput(*fixture.program, {1, 2, 3, 6});
  fixture.program->Forward();
  SetInput(*inference, {3, 3, 3, 3 + std::sqrt(14.0f / 3)});
  inference->Forward();
  const std::vector<float> outputs = OutputOf(*inference);
  EXPECT_NEAR(outputs[0], 0, 1e-6);
  EXPECT_NEAR(outputs[3], 1, 1e-6);
  EXPECT_FLOAT_EQ(fixture.value("m")[0], 3);  // Unchanged by inference.
}

TEST(Program, RunningMomentumMakesStatisticsTheMeanOverBatches) {
  const GradientCase model = Normalizer(0.9f);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  const std::vector<std::vector<float>> batches = {{0, 0, 2, 2}, {4, 4, 6, 6}, {8, 8, 10, 10}};
  for (size_t k = 0; k < batches.size(); ++k) {
    fixture.program->set_running_momentum(static_cast<float>(k) / static_cast<float>(k + 1));
    SetInput(*fixture.program, batches[k]);
    fixture.program->Forward();
  }
  EXPECT_FLOAT_EQ(fixture.value("m")[0], 5);
  EXPECT_FLOAT_EQ(fixture.value("v")[0], 4.0f / 3);
}

TEST(Program, SeesWeightsThatChangedBetweenRuns) {
  const GradientCase model = Perceptron(2);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture,
                       BuildFixture(model.graph, Options(model, ProgramMode::kInference)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->Forward();
  const float before = OutputOf(*fixture.program)[0];
  fixture.value("fc2.b")[0] += 1;
  fixture.store->MarkChanged();
  fixture.program->Forward();
  EXPECT_FLOAT_EQ(OutputOf(*fixture.program)[0], before + 1);
}

TEST(Program, RepeatsItsBits) {
  const GradientCase model = ResidualNetwork(3, 4);
  std::vector<std::vector<float>> runs;
  for (int run = 0; run < 2; ++run) {
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
    ASSERT_OK_AND_ASSIGN(const auto optimizer, Optimizer::Create({}, fixture.store.get()));
    for (uint64_t step = 0; step < 3; ++step) {
      FillWithRandomData(*fixture.program, model.loss, step);
      fixture.program->ForwardBackward();
      optimizer->Step(0.1f);
    }
    const absl::Span<float> values = fixture.store->trainable_values();
    runs.emplace_back(values.begin(), values.end());
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST(Program, GradientsAreOverwrittenNotAddedTo) {
  const GradientCase model = Perceptron(3);
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->ForwardBackward();
  const absl::Span<float> gradients = fixture.store->trainable_gradients();
  const std::vector<float> first(gradients.begin(), gradients.end());
  fixture.program->ForwardBackward();
  EXPECT_EQ(first, std::vector<float>(gradients.begin(), gradients.end()));
}

GradientCase Dropped() {
  return GradientGraph()
      .Input("x", {GraphBuilder::kBatch, 64})
      .Weight("w", {64})
      .Constant("ratio", Tensor::Scalar(0.5f))
      .Node("Mul", {"x", "w"}, "z")
      .Node("Dropout", {"z", "ratio"}, "y")
      .Output("y")
      .Finish("", LossKind::kMeanSquaredError, 4);
}

TEST(Program, DropoutFollowsStepAndSeedAndRestsInInference) {
  const GradientCase model = Dropped();
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  const auto at = [&](uint64_t step) {
    fixture.program->set_step(step);
    fixture.program->Forward();
    return OutputOf(*fixture.program);
  };
  const std::vector<float> first = at(0);
  EXPECT_NE(at(1), first);
  EXPECT_EQ(at(0), first);
  EXPECT_THAT(first, Contains(0.0f));
  ProgramOptions other_seed = Options(model);
  other_seed.seed = 1;
  ASSERT_OK_AND_ASSIGN(const ProgramFixture other, BuildFixture(model.graph, other_seed));
  FillWithRandomData(*other.program, model.loss, 1);
  other.program->Forward();
  EXPECT_NE(OutputOf(*other.program), first);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture inference,
                       BuildFixture(model.graph, Options(model, ProgramMode::kInference)));
  FillWithRandomData(*inference.program, model.loss, 1);
  inference.program->Forward();
  EXPECT_THAT(OutputOf(*inference.program), Not(Contains(0.0f)));
}

TEST(Program, ActivationsThatAreNotNeededTwiceShareMemory) {
  const GradientCase model = ResidualNetwork(8, 2);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture inference,
                       BuildFixture(model.graph, Options(model, ProgramMode::kInference)));
  const ProgramStatistics& statistics = inference.program->statistics();
  EXPECT_LT(statistics.arena_bytes, statistics.unshared_bytes / 3);
  EXPECT_TRUE(statistics.backward_steps.empty());
  ASSERT_OK_AND_ASSIGN(const ProgramFixture training, BuildFixture(model.graph, Options(model)));
  EXPECT_LT(training.program->statistics().arena_bytes,
            training.program->statistics().unshared_bytes * 3 / 4);
  EXPECT_GT(training.program->statistics().arena_bytes, statistics.arena_bytes);
}

TEST(Program, FusesAndComputesNoGradientOfItsInputs) {
  const GradientCase model = ResidualNetwork(4, 2);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  const ProgramStatistics& statistics = fixture.program->statistics();
  EXPECT_THAT(statistics.forward_steps,
              Contains(HasSubstr("BatchNormForwardTraining+add+relu")).Times(2));
  EXPECT_THAT(statistics.forward_steps, Contains(HasSubstr("ConvolutionForward+relu")).Times(1));
  EXPECT_THAT(statistics.forward_steps, Each(Not(HasSubstr("Reorder"))));
  int data = 0, weights = 0;
  for (const std::string& step : statistics.backward_steps) {
    data += step.rfind("ConvolutionBackwardData", 0) == 0;
    weights += step.rfind("ConvolutionBackwardWeights", 0) == 0;
  }
  EXPECT_EQ(weights, 7);
  EXPECT_EQ(data, 6);  // All but the first convolution.
}

TEST(Program, KeepsTheGraphsOutputThoughTheLossIsOfTheLogits) {
  const GradientCase model = BranchedNetwork(2);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->ForwardBackward();
  EXPECT_EQ(fixture.program->output_kind(), OutputKind::kProbabilities);
  const std::vector<float> outputs = OutputOf(*fixture.program);
  double loss = 0;
  for (int row = 0; row < 2; ++row) {
    double sum = 0;
    for (int c = 0; c < 10; ++c) sum += outputs[row * 10 + c];
    EXPECT_NEAR(sum, 1, 1e-5);
    loss -= std::log(
        outputs[row * 10 + static_cast<const int32_t*>(fixture.program->labels().data)[row]]);
  }
  EXPECT_NEAR(fixture.program->loss(), loss / 2, 1e-4);
  EXPECT_THAT(fixture.program->statistics().backward_steps, Each(Not(HasSubstr("Softmax"))));
}

TEST(Program, ComparesItsLogitsAndValuesWithATeachers) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 2})
                                 .Constant("w", Tensor::FromVector<float>({2, 2}, {1, 0, 0, 1}))
                                 .Node("MatMul", {"x", "w"}, "z")
                                 .Node("Relu", {"z"}, "logits")
                                 .Node("Softmax", {"logits"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kSoftmaxCrossEntropy, 1);
  ProgramOptions options = Options(model);
  options.loss_weight = 0;
  options.teacher_losses = {{"", 1, 3}, {"z", 2}};
  ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(model.graph, options));
  const Program& program = *fixture.program;
  ASSERT_EQ(program.teacher_values().size(), 2u);
  EXPECT_EQ(program.teacher_values()[0].name, "logits");
  EXPECT_EQ(program.teacher_values()[1].name, "z");
  SetInput(program, {1, 2});
  static_cast<int32_t*>(program.labels().data)[0] = 1;
  for (const StagedTensor& value : program.teacher_values()) {
    std::copy_n(std::vector<float>({1, 2}).begin(), 2, static_cast<float*>(value.data));
  }
  fixture.program->ForwardBackward();
  EXPECT_EQ(program.loss(), 0) << "the teacher says the same";
  static_cast<float*>(program.teacher_values()[1].data)[0] = 4;
  fixture.program->ForwardBackward();
  EXPECT_FLOAT_EQ(program.loss(), 2 * 9.0F / 2);
}

TEST(Program, HugeLogitsKeepTheLossFinite) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 1})
                                 .Constant("w", Tensor::FromVector<float>({1, 1}, {1000}))
                                 .Node("MatMul", {"x", "w"}, "z")
                                 .Node("Sigmoid", {"z"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kBinaryCrossEntropy, 1);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  SetInput(*fixture.program, {1});
  *static_cast<float*>(fixture.program->labels().data) = 0;
  fixture.program->ForwardBackward();
  EXPECT_FLOAT_EQ(fixture.program->loss(), 1000);
  EXPECT_FLOAT_EQ(fixture.gradient("w")[0], 1);
}

TEST(Program, SeveralOutputsAreAllThere) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 2})
                                 .Weight("w", {2})
                                 .Node("Mul", {"x", "w"}, "a")
                                 .Node("Relu", {"a"}, "y")
                                 .Node("Identity", {"x"}, "same")
                                 .Output("y")
                                 .Output("a")
                                 .Output("same")
                                 .Finish("", LossKind::kMeanSquaredError, 1);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  SetInput(*fixture.program, {-3, 5});
  fixture.program->ForwardBackward();
  const float* w = fixture.value("w");
  EXPECT_THAT(OutputOf(*fixture.program, 1), ElementsAre(-3 * w[0], 5 * w[1]));
  EXPECT_THAT(OutputOf(*fixture.program, 2), ElementsAre(-3, 5));
  EXPECT_THAT(OutputOf(*fixture.program, 0),
              ElementsAre(std::max(0.0f, -3 * w[0]), std::max(0.0f, 5 * w[1])));
}

// A sum of no products is 0.
TEST(Program, AProductOfNothingHasItsShapeAndIsZero) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 2})
                                 .Weight("w", {0, 2})
                                 .Weight("bias", {2})
                                 .Constant("none", Tensor(DType::kInt64, Shape({0})))
                                 .Node("Gather", {"x", "none"}, "e", {Int("axis", 1)})
                                 .Node("MatMul", {"e", "w"}, "z")
                                 .Node("Add", {"z", "bias"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kMeanSquaredError, 2);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->ForwardBackward();
  const float* bias = fixture.value("bias");
  EXPECT_THAT(OutputOf(*fixture.program), ElementsAre(bias[0], bias[1], bias[0], bias[1]));
}

TEST(Program, GradientsOfUnusedOutputsStayZero) {
  const GradientCase model = GradientGraph()
                                 .Input("x", {GraphBuilder::kBatch, 2})
                                 .Weight("w", {2})
                                 .Weight("unrelated", {2})
                                 .Node("Mul", {"x", "w"}, "y")
                                 .Node("Mul", {"x", "unrelated"}, "other")
                                 .Output("y")
                                 .Output("other")
                                 .Finish("", LossKind::kMeanSquaredError, 1);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->ForwardBackward();
  EXPECT_NE(fixture.gradient("w")[0], 0);
  EXPECT_EQ(fixture.gradient("unrelated")[0], 0);
}

TEST(Program, TwoBatchSizesShareOneSetOfWeights) {
  const GradientCase model = Perceptron(4);
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture, BuildFixture(model.graph, Options(model)));
  ProgramOptions single = Options(model, ProgramMode::kInference);
  single.batch = 1;
  ASSERT_OK_AND_ASSIGN(const auto one, Program::Build(model.graph, fixture.store.get(),
                                                      fixture.backend.get(), single));
  FillWithRandomData(*fixture.program, model.loss, 1);
  fixture.program->Forward();
  std::copy_n(static_cast<const float*>(fixture.program->inputs()[0].data) + 784, 784,
              static_cast<float*>(one->inputs()[0].data));
  one->Forward();
  for (int c = 0; c < 10; ++c) {
    EXPECT_NEAR(OutputOf(*one)[c], OutputOf(*fixture.program)[10 + c], 1e-5);
  }
  EXPECT_EQ(one->batch(), 1);
}

absl::Status BuildStatus(const GradientCase& model) {
  return BuildFixture(model.graph, Options(model)).status();
}

GradientCase WithOutput(const std::vector<int64_t>& dims, const std::string& op_type,
                        LossKind loss) {
  GradientGraph graph;
  return graph.Input("x", dims).Node(op_type, {"x"}, "y").Output("y").Finish("", loss, 2);
}

TEST(ProgramRefuses, CrossEntropyOfAnOutputWithoutClasses) {
  const GradientCase model =
      WithOutput({GraphBuilder::kBatch, 3, 4, 2}, "Relu", LossKind::kSoftmaxCrossEntropy);
  EXPECT_THAT(BuildStatus(model), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("output 'y' has shape [2,3,4,2]")));
}

TEST(ProgramRefuses, CrossEntropyOfASoftmaxOverPartOfTheClasses) {
  GradientGraph graph;
  const GradientCase model = graph.Input("x", {GraphBuilder::kBatch, 4, 8})
                                 .Weight("w", {8})
                                 .Node("Mul", {"x", "w"}, "z")
                                 .Node("Softmax", {"z"}, "p", {Int("axis", -1)})
                                 .Node("Flatten", {"p"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kSoftmaxCrossEntropy, 2);
  EXPECT_THAT(BuildStatus(model), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("not a softmax over the classes")));
}

TEST(ProgramRefuses, CrossEntropyOfASigmoid) {
  const GradientCase model =
      WithOutput({GraphBuilder::kBatch, 3}, "Sigmoid", LossKind::kSoftmaxCrossEntropy);
  EXPECT_THAT(BuildStatus(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ends in Sigmoid")));
}

TEST(ProgramRefuses, BinaryCrossEntropyOfASoftmax) {
  const GradientCase model =
      WithOutput({GraphBuilder::kBatch, 3}, "Softmax", LossKind::kBinaryCrossEntropy);
  EXPECT_THAT(BuildStatus(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs logits")));
}

TEST(ProgramRefuses, TrainingAModelWithoutWeights) {
  const GradientCase model =
      WithOutput({GraphBuilder::kBatch, 3}, "Tanh", LossKind::kMeanSquaredError);
  EXPECT_THAT(BuildStatus(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("output 'y' depends on no")));
}

TEST(ProgramRefuses, OutputsThatAreNotFloat) {
  GraphBuilder builder;
  builder.Input("ids", {GraphBuilder::kBatch, 3}, DType::kInt64)
      .Node("Identity", {"ids"}, {"y"})
      .Output("y", DType::kInt64);
  EXPECT_THAT(BuildFixture(builder.Build(), {}),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("output 'y' is not float32")));
}

TEST(ProgramRefuses, AStoreOfAnotherModel) {
  const GradientCase model = Perceptron(2);
  const GradientCase other = BranchedNetwork(2);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create(other.graph, &backend));
  EXPECT_THAT(Program::Build(model.graph, store.get(), &backend, Options(model)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'fc1.w'")));
}

TEST(ProgramRefuses, ATeachersValueThatTheModelDoesNotCompute) {
  const GradientCase model = ResidualNetwork(4, 6);
  ProgramOptions options = Options(model);
  options.teacher_losses = {{"no such value"}};
  EXPECT_THAT(BuildFixture(model.graph, options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'no such value'")));
}

TEST(ProgramRefuses, AnOutputThatDoesNotExist) {
  const GradientCase model = Perceptron(2);
  ProgramOptions options = Options(model);
  options.loss_output = 1;
  EXPECT_THAT(BuildFixture(model.graph, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 outputs")));
}

}  // namespace
}  // namespace topiary
