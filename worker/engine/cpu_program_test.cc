// Whole programs on the CPU backend, whose layouts, fusions and kernels are its own, against
// the same programs on the reference backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
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
  options.teacher_losses = test_case.teacher_losses;
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

// Where nothing is differentiated a trained mask is one like any other.
void AttentionServesAsItsStepsDo(bool cpu) {
  const GradientCase test_case = AttentionGraph({0, 2, 1, 3}, AttentionMask::kTrained)
                                     .Finish("", LossKind::kMeanSquaredError, 3);
  std::vector<std::vector<float>> results;
  for (const ProgramMode mode : {ProgramMode::kTraining, ProgramMode::kInference}) {
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture,
                         BuildFixture(test_case.graph, OptionsFor(test_case, mode),
                                      cpu ? NewCpuBackend() : nullptr));
    FillWithRandomData(*fixture.program, test_case.loss, 4);
    fixture.program->Forward();
    results.push_back(OutputOf(*fixture.program));
    EXPECT_THAT(fixture.program->statistics().forward_steps,
                Contains(HasSubstr("Attention")).Times(mode == ProgramMode::kInference ? 1 : 0));
  }
  ExpectClose(results[1].data(), results[0].data(), results[0].size(), "output");
}

TEST(CpuProgram, AttentionServesAsItsStepsDo) { AttentionServesAsItsStepsDo(true); }
TEST(ReferenceProgram, AttentionServesAsItsStepsDo) { AttentionServesAsItsStepsDo(false); }

// Attention in one kernel gives what its steps give, which those of a trained mask remain.
void AttentionTrainsAsItsStepsDo(bool cpu) {
  std::vector<float> results[2];
  for (const AttentionMask mask : {AttentionMask::kConstant, AttentionMask::kTrained}) {
    const bool fused = mask == AttentionMask::kConstant;
    const GradientCase test_case =
        AttentionGraph({0, 2, 1, 3}, mask).Finish("", LossKind::kMeanSquaredError, 3);
    ASSERT_OK_AND_ASSIGN(
        ProgramFixture fixture,
        BuildFixture(test_case.graph, OptionsFor(test_case, ProgramMode::kTraining),
                     cpu ? NewCpuBackend() : nullptr));
    FillWithRandomData(*fixture.program, test_case.loss, 4);
    fixture.program->ForwardBackward();
    results[fused] = OutputOf(*fixture.program);
    for (const Parameter& parameter : fixture.store->parameters()) {
      if (parameter.name == "mask") continue;
      results[fused].insert(results[fused].end(), parameter.gradient,
                            parameter.gradient + parameter.size);
    }
    for (const auto* steps : {&fixture.program->statistics().forward_steps,
                              &fixture.program->statistics().backward_steps}) {
      EXPECT_THAT(*steps, Contains(HasSubstr("Attention")).Times(fused ? 1 : 0));
      EXPECT_THAT(*steps, Contains(HasSubstr("Softmax")).Times(fused ? 0 : 1));
    }
  }
  ExpectClose(results[1].data(), results[0].data(), results[0].size(), "output and gradients");
}

TEST(CpuProgram, AttentionTrainsAsItsStepsDo) { AttentionTrainsAsItsStepsDo(true); }
TEST(ReferenceProgram, AttentionTrainsAsItsStepsDo) { AttentionTrainsAsItsStepsDo(false); }

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

// A weight of which some blocks are kept, and where its elements lie.
struct PartlyKept {
  std::string name;
  std::shared_ptr<const BlockSparsePattern> pattern;
  // Of element (group, row, col).
  std::function<int64_t(int64_t group, int64_t row, int64_t col)> offset;

  void SetPruned(float value, float* weight) const {
    for (int64_t group = 0; group < pattern->groups; ++group) {
      for (int64_t row = 0; row < pattern->rows; ++row) {
        for (int64_t col = 0; col < pattern->cols; ++col) {
          if (!pattern->Keeps(row, col, group)) weight[offset(group, row, col)] = value;
        }
      }
    }
  }
};

std::shared_ptr<const BlockSparsePattern> Pattern(int64_t rows, int64_t cols, int64_t block_rows,
                                                  int64_t block_cols,
                                                  const std::vector<uint8_t>& kept,
                                                  int64_t groups = 1) {
  return std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(rows, cols, block_rows, block_cols, kept, groups));
}

// The weight [out, channels, kernel] of a convolution with so many taps.
PartlyKept Kernel(std::string name, int64_t channels, int64_t taps,
                  std::shared_ptr<const BlockSparsePattern> pattern) {
  const int64_t cols = pattern->cols;
  return {std::move(name), std::move(pattern), [=](int64_t group, int64_t row, int64_t col) {
            return ((group * cols + col) * channels + row % channels) * taps + row / channels;
          }};
}

struct SparseProgram {
  GradientCase test_case;
  std::vector<PartlyKept> weights;
  const char* step;  // Of the forward products.
  int backward_steps;

  SparseWeights patterns() const {
    SparseWeights patterns;
    for (const PartlyKept& weight : weights) patterns[weight.name] = weight.pattern;
    return patterns;
  }
};

// One layer as Gemm with transB stores it and one as MatMul does.
SparseProgram TwoLayers() {
  return {GradientGraph()
              .Input("x", {GraphBuilder::kBatch, 20})
              .Weight("v", {32, 20}, 0.3f)
              .Weight("c", {32})
              .Weight("w", {32, 12}, 0.3f)
              .Constant("factor", Tensor::Scalar(0.5f))
              .Node("Gemm", {"x", "v", "c"}, "g", {Int("transB", 1)})
              .Node("Relu", {"g"}, "h")
              .Node("MatMul", {"h", "w"}, "p")
              .Node("Mul", {"p", "factor"}, "y")
              .Output("y")
              .Finish("", LossKind::kSoftmaxCrossEntropy, 9),
          {{"v", Pattern(20, 32, 8, 16, {1, 0, 0, 1, 1, 1}),
            [](int64_t, int64_t row, int64_t col) { return col * 20 + row; }},
           {"w", Pattern(32, 12, 16, 4, {0, 1, 0, 1, 0, 1}),
            [](int64_t, int64_t row, int64_t col) { return row * 12 + col; }}},
          "MatMul+sparse",
          3};
}

// A residual branch of two layers with Gelu, as exporters write it.
SparseProgram FeedForward() {
  return {GradientGraph()
              .Input("x", {GraphBuilder::kBatch, 24})
              .Weight("v", {24, 32}, 0.3f)
              .Weight("c", {32})
              .Weight("w", {32, 24}, 0.3f)
              .Weight("d", {24})
              .Constant("root", Tensor::Scalar(1.41421356f))
              .Constant("one", Tensor::Scalar(1.0f))
              .Constant("half", Tensor::Scalar(0.5f))
              .Node("Tanh", {"x"}, "t")
              .Node("MatMul", {"t", "v"}, "p")
              .Node("Add", {"p", "c"}, "g")
              .Node("Div", {"g", "root"}, "s")
              .Node("Erf", {"s"}, "e")
              .Node("Add", {"e", "one"}, "a")
              .Node("Mul", {"g", "a"}, "m")
              .Node("Mul", {"m", "half"}, "h")
              .Node("MatMul", {"h", "w"}, "q")
              .Node("Add", {"d", "q"}, "r")
              .Node("Add", {"t", "r"}, "y")
              .Output("y")
              .Finish("", LossKind::kSoftmaxCrossEntropy, 70),
          {{"v", Pattern(24, 32, 8, 16, {1, 0, 0, 1, 1, 1}),
            [](int64_t, int64_t row, int64_t col) { return row * 32 + col; }},
           {"w", Pattern(32, 24, 16, 4, {0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0}),
            [](int64_t, int64_t row, int64_t col) { return row * 24 + col; }}},
          "MatMul+sparse+",
          3};
}

// A dense convolution, one with a bias and a stride, and one of two groups, before a layer.
SparseProgram ThreeConvolutions() {
  const auto kept = [](int64_t blocks) {
    std::vector<uint8_t> pattern(blocks);
    for (int64_t i = 0; i < blocks; ++i) pattern[i] = i % 3 == 0 ? 1 : 0;
    return pattern;
  };
  return {GradientGraph()
              .Input("x", {GraphBuilder::kBatch, 3, 9, 8})
              .Weight("a", {16, 3, 3, 3}, 0.3f)
              .Weight("b", {24, 16, 3, 3}, 0.3f)
              .Weight("bias", {24})
              .Weight("c", {16, 12, 1, 1}, 0.3f)
              .Weight("w", {16, 5}, 0.3f)
              .Node("Conv", {"x", "a"}, "p", {List("pads", {1, 1, 1, 1})})
              .Node("Relu", {"p"}, "q")
              .Node("Conv", {"q", "b", "bias"}, "r",
                    {List("pads", {1, 1, 1, 1}), List("strides", {2, 2})})
              .Node("Relu", {"r"}, "s")
              .Node("Conv", {"s", "c"}, "t", {Int("group", 2)})
              .Node("GlobalAveragePool", {"t"}, "u")
              .Node("Flatten", {"u"}, "f")
              .Node("MatMul", {"f", "w"}, "y")
              .Output("y")
              .Finish("", LossKind::kSoftmaxCrossEntropy, 6),
          {Kernel("b", 16, 9, Pattern(144, 24, 16, 8, kept(27))),
           Kernel("c", 12, 1, Pattern(12, 8, 4, 4, kept(12), 2))},
          "ConvolutionForward+sparse",
          4};
}

// To leave pruned blocks out changes no output, and no gradient but theirs, which stay what they
// were.
void SparseWeightsTrainAsMaskedOnesDo(const SparseProgram& program, bool cpu) {
  ProgramOptions options = OptionsFor(program.test_case, ProgramMode::kTraining);
  std::vector<ProgramFixture> fixtures;
  for (const bool sparse : {false, true}) {
    if (sparse) options.sparse_weights = program.patterns();
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(program.test_case.graph, options,
                                                              cpu ? NewCpuBackend() : nullptr));
    for (const PartlyKept& weight : program.weights) {
      weight.SetPruned(0, fixture.value(weight.name));
      std::fill_n(fixture.gradient(weight.name), weight.pattern->elements(), 7.0f);
    }
    fixture.store->MarkChanged();
    FillWithRandomData(*fixture.program, program.test_case.loss, 4);
    fixture.program->ForwardBackward();
    fixtures.push_back(std::move(fixture));
  }
  ProgramFixture& masked = fixtures[0];
  ProgramFixture& sparse = fixtures[1];
  EXPECT_THAT(sparse.program->statistics().forward_steps,
              Contains(HasSubstr(program.step)).Times(2));
  EXPECT_THAT(sparse.program->statistics().backward_steps,
              Contains(HasSubstr("+sparse")).Times(program.backward_steps));
  const std::vector<float> outputs = OutputOf(*masked.program);
  ExpectClose(OutputOf(*sparse.program).data(), outputs.data(), outputs.size(), "output");
  for (const PartlyKept& weight : program.weights) {
    weight.SetPruned(7, masked.gradient(weight.name));
  }
  for (const Parameter& parameter : masked.store->parameters()) {
    ExpectClose(sparse.gradient(parameter.name), parameter.gradient, parameter.size,
                "gradient of " + parameter.name);
  }
}

TEST(CpuProgram, SparseMatricesTrainAsMaskedOnesDo) {
  SparseWeightsTrainAsMaskedOnesDo(TwoLayers(), true);
}
TEST(CpuProgram, SparseConvolutionsTrainAsMaskedOnesDo) {
  SparseWeightsTrainAsMaskedOnesDo(ThreeConvolutions(), true);
}
TEST(ReferenceProgram, SparseMatricesTrainAsMaskedOnesDo) {
  SparseWeightsTrainAsMaskedOnesDo(TwoLayers(), false);
}
TEST(ReferenceProgram, SparseConvolutionsTrainAsMaskedOnesDo) {
  SparseWeightsTrainAsMaskedOnesDo(ThreeConvolutions(), false);
}

// In inference pruned blocks are not read at all, and kept ones are packed anew when they change.
void SparseWeightsServeAsMaskedOnesDo(const SparseProgram& program, bool cpu) {
  ProgramOptions options = OptionsFor(program.test_case, ProgramMode::kInference);
  options.loss = LossKind::kNone;
  std::vector<ProgramFixture> fixtures;
  for (const bool sparse : {false, true}) {
    if (sparse) options.sparse_weights = program.patterns();
    if (sparse) options.sparse_weights["none"] = program.weights[0].pattern;
    ASSERT_OK_AND_ASSIGN(ProgramFixture fixture, BuildFixture(program.test_case.graph, options,
                                                              cpu ? NewCpuBackend() : nullptr));
    const float pruned = sparse ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
    for (const PartlyKept& weight : program.weights) {
      weight.SetPruned(pruned, fixture.value(weight.name));
    }
    fixture.store->MarkChanged();
    fixtures.push_back(std::move(fixture));
  }
  EXPECT_THAT(fixtures[0].program->statistics().sparse_weights, testing::IsEmpty());
  EXPECT_THAT(fixtures[1].program->statistics().sparse_weights,
              testing::ElementsAre(program.weights[0].name, program.weights[1].name));
  EXPECT_THAT(fixtures[1].program->statistics().forward_steps,
              Contains(HasSubstr(program.step)).Times(2));
  for (int round = 0; round < 2; ++round) {
    for (ProgramFixture& fixture : fixtures) {
      const StagedTensor& x = fixture.program->inputs()[0];
      for (int64_t i = 0; i < x.shape.element_count(); ++i) {
        static_cast<float*>(x.data)[i] = static_cast<float>(i % 7) - 3.0f;
      }
      const PartlyKept& weight = program.weights[0];
      for (int64_t i = 0; i < weight.pattern->elements(); ++i) {
        fixture.value(weight.name)[i] *= round == 0 ? 1.0f : -0.5f;
      }
      fixture.store->MarkChanged();
      fixture.program->Forward();
    }
    const std::vector<float> outputs = OutputOf(*fixtures[0].program);
    ExpectClose(OutputOf(*fixtures[1].program).data(), outputs.data(), outputs.size(), "output");
  }
}

TEST(CpuProgram, SparseMatricesServeAsMaskedOnesDo) {
  SparseWeightsServeAsMaskedOnesDo(TwoLayers(), true);
}
TEST(CpuProgram, SparseConvolutionsServeAsMaskedOnesDo) {
  SparseWeightsServeAsMaskedOnesDo(ThreeConvolutions(), true);
}
TEST(CpuProgram, SparseFeedForwardServesAsTheMaskedOneDoes) {
  SparseWeightsServeAsMaskedOnesDo(FeedForward(), true);
}
TEST(ReferenceProgram, SparseFeedForwardServesAsTheMaskedOneDoes) {
  SparseWeightsServeAsMaskedOnesDo(FeedForward(), false);
}
TEST(ReferenceProgram, SparseMatricesServeAsMaskedOnesDo) {
  SparseWeightsServeAsMaskedOnesDo(TwoLayers(), false);
}
TEST(ReferenceProgram, SparseConvolutionsServeAsMaskedOnesDo) {
  SparseWeightsServeAsMaskedOnesDo(ThreeConvolutions(), false);
}

// What is computed again in the backward pass has the bits of the forward pass.
void TrainsTheSameWithLessKept(const GradientCase& test_case, const std::string& again) {
  std::vector<float> gradients[2];
  for (const bool recomputes : {false, true}) {
    ProgramOptions options = OptionsFor(test_case, ProgramMode::kTraining);
    options.recompute_from = recomputes ? 0 : std::numeric_limits<int64_t>::max();
    ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture,
                         BuildFixture(test_case.graph, options, NewCpuBackend()));
    FillWithRandomData(*fixture.program, test_case.loss, 4);
    for (int i = 0; i < 2; ++i) fixture.program->ForwardBackward();
    for (const Parameter& parameter : fixture.store->parameters()) {
      if (!parameter.trainable) continue;
      gradients[recomputes].insert(gradients[recomputes].end(), parameter.gradient,
                                   parameter.gradient + parameter.size);
    }
    const std::vector<std::string>& steps = fixture.program->statistics().backward_steps;
    const bool found = std::any_of(steps.begin(), steps.end(), [&](const std::string& step) {
      return step.rfind(again, 0) == 0;
    });
    EXPECT_EQ(found, recomputes);
  }
  EXPECT_EQ(gradients[0], gradients[1]);
}

TEST(CpuProgram, ImagesTrainTheSameWithLessKept) {
  TrainsTheSameWithLessKept(ResidualNetwork(16, 8), "BatchNormForwardAgain+relu");
}
TEST(CpuProgram, SequencesTrainTheSameWithLessKept) {
  TrainsTheSameWithLessKept(FeedForward().test_case, "UnaryForward");
}

TEST(CpuProgram, APatternOfAnotherMatrixIsNotUsed) {
  const GradientCase test_case = Perceptron(4);
  ProgramOptions options = OptionsFor(test_case, ProgramMode::kTraining);
  options.sparse_weights["fc1.w"] = std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(64, 784, 64, 784, {1}));
  ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture,
                       BuildFixture(test_case.graph, options, NewCpuBackend()));
  EXPECT_THAT(fixture.program->statistics().forward_steps,
              testing::Not(Contains(HasSubstr("+sparse"))));
  MatMulParameters p;
  p.b_pattern = options.sparse_weights["fc1.w"];
  const auto matrix = [](int64_t rows, int64_t cols) {
    return TensorDescription{Shape({rows, cols}), DType::kFloat32, Layout::Plain()};
  };
  EXPECT_FALSE(NewCpuBackend()
                   ->Plan({OpKind::kMatMul, p, {matrix(4, 784), matrix(784, 64), matrix(4, 64)}})
                   .ok());
}

// With the table of an embedding that gives the scores too, each use must see the whole.
TEST(CpuProgram, WeightsUsedTwiceStayDense) {
  for (const GradientCase& test_case : AllGradientCases()) {
    if (test_case.name != "MatMulTiedEmbedding") continue;
    ProgramOptions options = OptionsFor(test_case, ProgramMode::kTraining);
    options.sparse_weights["table"] = std::make_shared<const BlockSparsePattern>(
        *BlockSparsePattern::Create(4, 6, 2, 3, {1, 0, 0, 1}));
    ASSERT_OK_AND_ASSIGN(const ProgramFixture fixture,
                         BuildFixture(test_case.graph, options, NewCpuBackend()));
    EXPECT_THAT(fixture.program->statistics().forward_steps,
                testing::Not(Contains(HasSubstr("+sparse"))));
    return;
  }
  FAIL() << "there is no such case";
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
    if (step.rfind("Reorder ", 0) == 0) ++reorders;
  }
  EXPECT_LE(reorders, 1) << testing::PrintToString(fixture.program->statistics().forward_steps);
  EXPECT_THAT(fixture.program->statistics().forward_steps,
              Contains(HasSubstr("BatchNormForwardTraining+add+relu")));
  EXPECT_THAT(fixture.program->statistics().backward_steps,
              Contains(HasSubstr("BatchNormBackward+add+relu+sum")));
}

}  // namespace
}  // namespace topiary
