#include "worker/engine/input_moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

// One node that multiplies an activation with a weight "w".
struct ProductCase {
  std::string name;
  std::string op;
  std::vector<int64_t> example;  // Shape of the input without the batch of 3.
  std::vector<int64_t> weight;
  std::vector<Attribute> attributes = {};
  bool weight_on_left = false;
  bool transposes_weight = false;  // By a node between.
  int64_t outputs_axis = -1;       // Of the result: which holds the outputs of a sample.
};

void PrintTo(const ProductCase& product, std::ostream* out) { *out << product.name; }

using Ints = std::vector<int64_t>;

std::vector<ProductCase> Products() {
  return {
      {"gemm", "Gemm", {5}, {5, 4}},
      {"gemm_trans_b", "Gemm", {5}, {4, 5}, {{"transB", int64_t{1}}}},
      {"gemm_weight_left", "Gemm", {5}, {6, 3}, {}, true},
      {"gemm_weight_left_both",
       "Gemm",
       {5},
       {5, 6},
       {{"transA", int64_t{1}}, {"transB", int64_t{1}}},
       true},
      {"gemm_trans_a", "Gemm", {5}, {3, 4}, {{"transA", int64_t{1}}}},
      {"matmul", "MatMul", {7, 5}, {5, 4}},
      {"matmul_transposed_weight", "MatMul", {7, 5}, {4, 5}, {}, false, true},
      {"matmul_weight_left", "MatMul", {5, 7}, {4, 5}, {}, true},
      {"matmul_weight_left_transposed", "MatMul", {5, 7}, {5, 4}, {}, true, true},
      {"matmul_vector", "MatMul", {7, 5}, {5}},
      {"matmul_stack", "MatMul", {2, 7, 5}, {2, 5, 4}},
      {"matmul_stack_broadcast", "MatMul", {1, 7, 5}, {2, 5, 4}},
      {"conv", "Conv", {2, 6, 5}, {4, 2, 3, 2}, {{"pads", Ints{1, 0, 2, 1}}}},
      {"conv_strided",
       "Conv",
       {2, 9, 8},
       {4, 2, 3, 3},
       {{"strides", Ints{2, 1}}, {"dilations", Ints{1, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
      {"conv_grouped", "Conv", {4, 5, 5}, {6, 2, 3, 3}, {{"group", int64_t{2}}}},
      {"conv_depthwise", "Conv", {4, 5, 5}, {4, 1, 3, 3}, {{"group", int64_t{4}}}},
      {"conv_one_axis", "Conv", {3, 9}, {4, 3, 3}, {{"strides", Ints{2}}}},
  };
}

Graph GraphOf(const ProductCase& product) {
  Graph graph;
  ValueInfo input;
  input.name = "x";
  input.has_shape = true;
  input.dims.push_back({-1, "batch"});
  for (const int64_t extent : product.example) input.dims.push_back({extent, ""});
  graph.inputs.push_back(input);
  Tensor weight(DType::kFloat32, Shape(product.weight));
  Random random(3, kStreamTest, 0);
  for (float& value : weight.span<float>()) value = random.Normal();
  graph.initializers.push_back({"w", std::move(weight), ""});
  std::string operand = "w";
  if (product.transposes_weight) {
    Node transpose;
    transpose.op_type = "Transpose";
    transpose.inputs = {"w"};
    transpose.outputs = {"t"};
    graph.nodes.push_back(transpose);
    operand = "t";
  }
  Node node;
  node.op_type = product.op;
  node.name = "product";
  node.inputs = {"x", operand};
  if (product.weight_on_left) std::swap(node.inputs[0], node.inputs[1]);
  node.outputs = {"y"};
  node.attributes = product.attributes;
  graph.nodes.push_back(node);
  ValueInfo output;
  output.name = "y";
  graph.outputs.push_back(output);
  return graph;
}

std::vector<float> RandomInput(const Shape& shape) {
  std::vector<float> values(shape.element_count());
  Random random(4, kStreamTest, 0);
  for (float& value : values) value = random.Normal();
  return values;
}

constexpr int64_t kBatch = 3;

struct TestProduct {
  Graph graph;
  InferredGraph inferred;
  PrunableLayer layer;
  std::vector<float> input;
};

absl::StatusOr<TestProduct> Make(const ProductCase& product) {
  TestProduct setup;
  setup.graph = GraphOf(product);
  auto shapes = InputShapesForBatch(setup.graph, kBatch);
  auto inferred = InferShapes(setup.graph, *shapes);
  if (!inferred.ok()) return inferred.status();
  setup.inferred = *std::move(inferred);
  setup.layer = FindPrunableLayers(setup.graph).at(0);
  setup.input = RandomInput(setup.inferred.values.at("x").shape);
  return setup;
}

class Moments : public testing::TestWithParam<ProductCase> {};

// Whatever the product: the squares of all that it makes sum up to the traces of W^T M W over its
// matrices, each as often as it has samples.
TEST_P(Moments, GiveTheSizeOfTheOutputs) {
  ASSERT_OK_AND_ASSIGN(const TestProduct setup, Make(GetParam()));
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(
      const auto store,
      ParameterStore::Create(setup.graph, setup.inferred, &backend, StorePurpose::kInference));
  ProgramOptions options;
  options.batch = kBatch;
  options.mode = ProgramMode::kInference;
  ASSERT_OK_AND_ASSIGN(const auto program,
                       Program::Build(setup.graph, store.get(), &backend, options));
  std::copy(setup.input.begin(), setup.input.end(), static_cast<float*>(program->inputs()[0].data));
  program->Forward();
  const StagedTensor& output = program->output(0);
  const int64_t count = output.shape.element_count();
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double y = static_cast<const float*>(output.data)[i];
    squares += y * y;
  }

  const PrunableLayer& layer = setup.layer;
  const absl::Span<const float> weight = setup.graph.initializers[0].value.span<float>();
  const auto samples = static_cast<double>(count / (layer.cols * layer.groups));
  for (const bool on_cpu : {false, true}) {
    std::unique_ptr<Backend> cpu;
    if (on_cpu) {
      ASSERT_OK_AND_ASSIGN(cpu, CpuBackend::Create({}));
    }
    ASSERT_OK_AND_ASSIGN(const auto moments,
                         InputMoments::Create(setup.graph, setup.inferred, layer, MomentKind::kFull,
                                              on_cpu ? cpu.get() : &backend));
    ASSERT_EQ(moments->inputs(), std::vector<std::string>{"x"});
    moments->Add({setup.input.data()});
    moments->Add({setup.input.data()});  // A mean does not change.
    double trace = 0;
    for (int64_t group = 0; group < layer.groups; ++group) {
      const std::vector<double> mean = moments->Mean(group);
      for (int64_t col = 0; col < layer.cols; ++col) {
        for (int64_t i = 0; i < layer.rows; ++i) {
          for (int64_t j = 0; j < layer.rows; ++j) {
            trace += double{weight[layer.Offset(group, i, col)]} * mean[i * layer.rows + j] *
                     weight[layer.Offset(group, j, col)];
          }
        }
      }
    }
    EXPECT_NEAR(trace * samples, squares, 1e-4 * squares);
  }
}

TEST_P(Moments, OfTheDiagonalAreThoseOfTheWhole) {
  ASSERT_OK_AND_ASSIGN(const TestProduct setup, Make(GetParam()));
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(
      const auto full,
      InputMoments::Create(setup.graph, setup.inferred, setup.layer, MomentKind::kFull, &backend));
  ASSERT_OK_AND_ASSIGN(const auto diagonal,
                       InputMoments::Create(setup.graph, setup.inferred, setup.layer,
                                            MomentKind::kDiagonal, &backend));
  full->Add({setup.input.data()});
  diagonal->Add({setup.input.data()});
  const int64_t n = setup.layer.rows;
  for (int64_t group = 0; group < setup.layer.groups; ++group) {
    const std::vector<double> whole = full->Mean(group);
    const std::vector<double> part = diagonal->Mean(group);
    ASSERT_EQ(static_cast<int64_t>(part.size()), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(part[i], whole[i * n + i], 1e-5 * part[i] + 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Products, Moments, testing::ValuesIn(Products()),
                         [](const auto& info) { return info.param.name; });

// Of 1,206 samples 1,024 are multiplied together, and 182.
TEST(InputMoments, OfManyBatchesAreThoseOfOneBatchOfAllTheirSamples) {
  const ProductCase product{"many", "MatMul", {2, 1, 5}, {2, 5, 4}};
  constexpr int64_t kBatches = 402;
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const TestProduct setup, Make(product));
  ASSERT_OK_AND_ASSIGN(
      const auto moments,
      InputMoments::Create(setup.graph, setup.inferred, setup.layer, MomentKind::kFull, &backend));
  const std::vector<float> all = RandomInput(Shape({kBatches * kBatch, 2, 5}));
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    moments->Add({all.data() + batch * kBatch * 2 * 5});
  }
  ASSERT_OK_AND_ASSIGN(const auto shapes, InputShapesForBatch(setup.graph, kBatches * kBatch));
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, InferShapes(setup.graph, shapes));
  ASSERT_OK_AND_ASSIGN(const auto at_once, InputMoments::Create(setup.graph, inferred, setup.layer,
                                                                MomentKind::kFull, &backend));
  at_once->Add({all.data()});
  for (int64_t group = 0; group < 2; ++group) {
    const std::vector<double> mean = moments->Mean(group);
    EXPECT_EQ(mean, at_once->Mean(group));
    for (int64_t i = 0; i < 5; ++i) {
      for (int64_t j = 0; j < 5; ++j) {
        double sum = 0;
        for (int64_t sample = 0; sample < kBatches * kBatch; ++sample) {
          const float* const x = &all[(sample * 2 + group) * 5];
          sum += double{x[i]} * x[j];
        }
        EXPECT_NEAR(mean[i * 5 + j], sum / (kBatches * kBatch), 1e-5);
      }
    }
  }
}

// Two uses see the weight alike, one transposed: the samples of the two count.
TEST(InputMoments, OfASharedWeightAreThoseOfItsUses) {
  ProductCase product{"shared", "MatMul", {5}, {5, 5}};
  Graph graph = GraphOf(product);
  Node again = graph.nodes[0];
  again.name = "again";
  again.inputs = {"y", "w"};
  again.outputs = {"z"};
  graph.nodes.push_back(again);
  Node back = again;
  back.op_type = "Gemm";
  back.name = "back";
  back.inputs = {"z", "w"};
  back.attributes = {{"transB", int64_t{1}}};
  back.outputs = {"out"};
  graph.nodes.push_back(back);
  graph.outputs[0].name = "out";
  ASSERT_OK_AND_ASSIGN(const auto shapes, InputShapesForBatch(graph, 2));
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, InferShapes(graph, shapes));
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto moments,
                       InputMoments::Create(graph, inferred, FindPrunableLayers(graph).at(0),
                                            MomentKind::kDiagonal, &backend));
  ASSERT_EQ(moments->inputs(), (std::vector<std::string>{"x", "y"}));
  const std::vector<float> x = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<float> y = {0, 2, 0, 0, 0, 0, 2, 0, 0, 0};
  moments->Add({x.data(), y.data()});
  EXPECT_EQ(moments->Mean(0), (std::vector<double>{0.25, 2, 0, 0, 0}));
}

TEST(InputMoments, AConstantIsNothingToCalibrateBy) {
  Graph graph = GraphOf({"left", "MatMul", {5}, {5, 5}});
  Node scaled;
  scaled.op_type = "MatMul";
  scaled.name = "between_weights";
  Tensor other(DType::kFloat32, Shape({5, 5}));
  graph.initializers.push_back({"v", std::move(other), ""});
  scaled.inputs = {"v", "w"};
  scaled.outputs = {"vw"};
  graph.nodes.insert(graph.nodes.begin(), scaled);
  graph.nodes[1].inputs[1] = "vw";
  ASSERT_OK_AND_ASSIGN(const auto shapes, InputShapesForBatch(graph, 2));
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, InferShapes(graph, shapes));
  ReferenceBackend backend;
  EXPECT_THAT(InputMoments::Create(graph, inferred, FindPrunableLayers(graph).at(0),
                                   MomentKind::kFull, &backend)
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::AllOf(HasSubstr("between_weights"), HasSubstr("constant"))));
}

}  // namespace
}  // namespace topiary
