#include "worker/features/feature_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kBatch = GraphBuilder::kBatch;

std::vector<std::string> NodeTypes(const Graph& graph) {
  std::vector<std::string> types;
  for (const Node& node : graph.nodes) types.push_back(node.op_type);
  return types;
}

Shape ShapeOf(const Graph& graph, const std::string& name) {
  return graph.FindInitializer(name)->value.shape();
}

// The first output for three examples whose float inputs are 0.1, 0.2, ... and ids 0, 1, 2, 0, ...
std::vector<float> Run(const Graph& graph) {
  ReferenceBackend backend;
  const auto store = ParameterStore::Create(graph, &backend, StorePurpose::kInference).value();
  ProgramOptions options;
  options.batch = 3;
  options.mode = ProgramMode::kInference;
  const auto program = Program::Build(graph, store.get(), &backend, options).value();
  for (const StagedTensor& input : program->inputs()) {
    for (int64_t i = 0; i < input.shape.element_count(); ++i) {
      if (input.dtype == DType::kInt64) {
        static_cast<int64_t*>(input.data)[i] = i % 3;
      } else {
        static_cast<float*>(input.data)[i] = 0.1F * static_cast<float>(i + 1);
      }
    }
  }
  program->Forward();
  const StagedTensor& output = program->output(0);
  const auto* values = static_cast<const float*>(output.data);
  return {values, values + output.shape.element_count()};
}

// The narrow network computes what the whole one does with the other rows at 0.
void ExpectNarrowsTo(const Graph& graph, const FeatureLayer& features,
                     const std::vector<int64_t>& kept, const Graph& narrow) {
  Graph zeroed = graph.Clone();
  const absl::Span<float> weight =
      zeroed.FindInitializer(features.layer.weight)->value.span<float>();
  for (int64_t row = 0; row < features.layer.rows; ++row) {
    if (std::count(kept.begin(), kept.end(), row) > 0) continue;
    for (int64_t col = 0; col < features.layer.cols; ++col) {
      weight[features.layer.Offset(0, row, col)] = 0;
    }
  }
  const std::vector<float> wanted = Run(zeroed), got = Run(narrow);
  ASSERT_EQ(wanted.size(), got.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-5) << i;
  ASSERT_EQ(narrow.inputs.size(), graph.inputs.size());
}

Graph Mlp() {
  return GraphBuilder()
      .Input("x", {kBatch, 5})
      .Weight("scale", {5})
      .Weight("bias", {5})
      .Weight("mean", {5})
      .Weight("var", {5})
      .Weight("w", {4, 5})
      .Weight("b", {4})
      .Node("BatchNormalization", {"x", "scale", "bias", "mean", "var"}, {"n"})
      .Node("Gemm", {"n", "w", "b"}, {"y"}, {Int("transB", 1)})
      .Output("y")
      .Build();
}

TEST(FindFeatures, SeesANumberPerRowThroughBatchNormalization) {
  const Graph graph = Mlp();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  EXPECT_EQ(found.layer.weight, "w");
  EXPECT_EQ(found.value, "n");
  ASSERT_EQ(found.features.size(), 5);
  EXPECT_THAT(found.features[3].rows, ElementsAre(3));
  EXPECT_THAT(found.features[3].elements, ElementsAre(InputElement{0, 3}));
}

TEST(NarrowFeatures, PicksColumnsBeforeBatchNormalization) {
  const Graph graph = Mlp();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {0, 2, 3}));
  EXPECT_THAT(NodeTypes(narrow), ElementsAre("Gather", "BatchNormalization", "Gemm"));
  EXPECT_EQ(ShapeOf(narrow, "w"), Shape({4, 3}));
  EXPECT_EQ(ShapeOf(narrow, "var"), Shape({3}));
  ExpectNarrowsTo(graph, found, {0, 2, 3}, narrow);
}

// Constants per feature and for all, a MatMul with a weight that a Transpose turns.
TEST(NarrowFeatures, NarrowsConstantsOfFeatures) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 2, 3})
                          .Weight("shift", {6})
                          .Weight("factor", {1})
                          .Weight("w", {4, 6})
                          .Node("Flatten", {"x"}, {"f"})
                          .Node("Sub", {"f", "shift"}, {"s"})
                          .Node("Mul", {"factor", "s"}, {"m"})
                          .Node("Tanh", {"m"}, {"t"})
                          .Node("Transpose", {"w"}, {"wt"}, {List("perm", {1, 0})})
                          .Node("MatMul", {"t", "wt"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  EXPECT_EQ(found.features.size(), 6);
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {1, 5}));
  EXPECT_THAT(NodeTypes(narrow),
              ElementsAre("Flatten", "Gather", "Sub", "Mul", "Tanh", "Transpose", "MatMul"));
  EXPECT_EQ(ShapeOf(narrow, "shift"), Shape({2}));
  EXPECT_EQ(ShapeOf(narrow, "w"), Shape({4, 2}));
  ExpectNarrowsTo(graph, found, {1, 5}, narrow);
}

// Three numbers, and two fields of ids with embeddings of 2 and of 3.
Graph Clicks() {
  return GraphBuilder()
      .Input("x", {kBatch, 3})
      .Input("ids", {kBatch, 2}, DType::kInt64)
      .Weight("t0", {3, 2})
      .Weight("t1", {3, 3})
      .Weight("w", {8, 4})
      .Weight("b", {4})
      .Node("Constant", {}, {"zero"}, {Constant("value", Tensor::Scalar(int64_t{0}))})
      .Node("Constant", {}, {"one"}, {Constant("value", Tensor::Scalar(int64_t{1}))})
      .Node("Gather", {"ids", "zero"}, {"id0"}, {Int("axis", 1)})
      .Node("Gather", {"ids", "one"}, {"id1"}, {Int("axis", 1)})
      .Node("Gather", {"t0", "id0"}, {"e0"})
      .Node("Gather", {"t1", "id1"}, {"e1"})
      .Node("Concat", {"e0", "x", "e1"}, {"all"}, {Int("axis", 1)})
      .Node("Gemm", {"all", "w", "b"}, {"y"})
      .Output("y")
      .Build();
}

TEST(FindFeatures, AFieldIsItsWholeEmbedding) {
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(Clicks()));
  ASSERT_EQ(found.features.size(), 5);
  EXPECT_THAT(found.features[0].rows, ElementsAre(2));
  EXPECT_THAT(found.features[3].elements, ElementsAre(InputElement{1, 0}));
  EXPECT_THAT(found.features[3].rows, ElementsAre(0, 1));
  EXPECT_THAT(found.features[4].rows, ElementsAre(5, 6, 7));
}

TEST(NarrowFeatures, EmbeddingsOfFieldsLeftOutGo) {
  const Graph graph = Clicks();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {0, 1, 3}));
  EXPECT_EQ(narrow.FindInitializer("t1"), nullptr);
  EXPECT_EQ(ShapeOf(narrow, "t0"), Shape({3, 2}));
  EXPECT_EQ(ShapeOf(narrow, "w"), Shape({3, 4}));
  ExpectNarrowsTo(graph, found, {0, 1, 3}, narrow);
}

TEST(NarrowFeatures, AnInputOfWhichNothingIsChosenStaysDeclared) {
  const Graph graph = Clicks();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {2, 4}));
  EXPECT_THAT(NodeTypes(narrow), testing::Not(testing::Contains("Constant")));
  ExpectNarrowsTo(graph, found, {2, 4}, narrow);
}

// One table for all fields, as DLRMs of one vocabulary have it.
TEST(NarrowFeatures, PicksFieldsOfASharedTable) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 3}, DType::kInt64)
                          .Weight("table", {3, 2})
                          .Weight("w", {6, 4})
                          .Node("Gather", {"table", "ids"}, {"e"})
                          .Node("Flatten", {"e"}, {"f"})
                          .Node("MatMul", {"f", "w"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  ASSERT_EQ(found.features.size(), 3);
  EXPECT_THAT(found.features[1].rows, ElementsAre(2, 3));
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {0, 1, 4, 5}));
  ExpectNarrowsTo(graph, found, {0, 1, 4, 5}, narrow);
}

TEST(FindFeatures, AGroupTakesThePlaceOfItsFirstElement) {
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found,
                       FindFeatures(Clicks(), {{"pair", {{1, 1}, {0, 1}}}, {"single", {{0, 0}}}}));
  ASSERT_EQ(found.features.size(), 4);
  EXPECT_EQ(found.features[0].name, "single");
  EXPECT_EQ(found.features[1].name, "pair");
  EXPECT_THAT(found.features[1].rows, ElementsAre(3, 5, 6, 7));
}

TEST(FindFeatures, RefusesGroupsThatDoNotFit) {
  const Graph graph = Mlp();
  EXPECT_THAT(FindFeatures(graph, {{"a", {{0, 5}}}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'a' has element 5")));
  EXPECT_THAT(FindFeatures(graph, {{"a", {{0, 1}}}, {"b", {{0, 1}}}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two groups")));
}

TEST(FindFeatures, RefusesWhatReadsFeaturesOtherwise) {
  const Graph conv = GraphBuilder()
                         .Input("x", {kBatch, 1, 4, 4})
                         .Weight("w", {2, 1, 3, 3})
                         .Node("Conv", {"x", "w"}, {"y"}, {List("kernel_shape", {3, 3})}, "c1")
                         .Output("y")
                         .Build();
  EXPECT_THAT(FindFeatures(conv).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("Conv node 'c1'")));
  const Graph wide_and_deep = GraphBuilder()
                                  .Input("x", {kBatch, 4})
                                  .Weight("w", {4, 2})
                                  .Weight("v", {4, 2})
                                  .Node("MatMul", {"x", "w"}, {"a"})
                                  .Node("MatMul", {"x", "v"}, {"b"})
                                  .Node("Add", {"a", "b"}, {"y"})
                                  .Output("y")
                                  .Build();
  EXPECT_THAT(FindFeatures(wide_and_deep).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("one first layer")));
  const Graph none =
      GraphBuilder().Input("x", {kBatch, 4}).Node("Relu", {"x"}, {"y"}).Output("y").Build();
  EXPECT_THAT(FindFeatures(none).status(), StatusIs(absl::StatusCode::kUnimplemented));
  const Graph sequence = GraphBuilder()
                             .Input("x", {kBatch, 3, 4})
                             .Weight("w", {4, 2})
                             .Node("MatMul", {"x", "w"}, {"y"})
                             .Output("y")
                             .Build();
  EXPECT_THAT(FindFeatures(sequence).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("flatten")));
}

// x.view(x.size(0), -1), as PyTorch's exporter writes it.
TEST(FindFeatures, NodesThatReadShapesAreNoReaders) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 2, 3})
                          .Ints("zero", {0})
                          .Ints("rest", {-1})
                          .Weight("w", {6, 4})
                          .Node("Shape", {"x"}, {"shape"})
                          .Node("Gather", {"shape", "zero"}, {"examples"})
                          .Node("Concat", {"examples", "rest"}, {"flat"}, {Int("axis", 0)})
                          .Node("Reshape", {"x", "flat"}, {"f"})
                          .Node("MatMul", {"f", "w"}, {"y"})
                          .Node("Sigmoid", {"f"}, {"nobody.reads"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(graph));
  EXPECT_EQ(found.features.size(), 6);
  ASSERT_OK_AND_ASSIGN(const Graph narrow, NarrowFeatures(graph, found, {1, 4}));
  ExpectNarrowsTo(graph, found, {1, 4}, narrow);
}

// Of column `index` of four.
Graph OneColumn(int64_t index) {
  return GraphBuilder()
      .Input("x", {kBatch, 4})
      .Ints("column", {index})
      .Weight("w", {1, 2})
      .Node("Gather", {"x", "column"}, {"c"}, {Int("axis", 1)}, "picks")
      .Node("MatMul", {"c", "w"}, {"y"})
      .Output("y")
      .Build();
}

TEST(FindFeatures, RefusesColumnsThatAreNotThere) {
  for (const int64_t index : {int64_t{4}, int64_t{-5}, int64_t{1000000000}, INT64_MIN}) {
    EXPECT_THAT(FindFeatures(OneColumn(index)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Gather node 'picks'")))
        << index;
  }
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(OneColumn(-4)));
  EXPECT_THAT(found.features[0].elements, ElementsAre(InputElement{0, 0}));
}

// A few bytes of a file can declare more than a machine holds.
TEST(FindFeatures, HoldsAtMostSoManyElements) {
  constexpr int64_t kHuge = int64_t{1} << 32;
  const auto build = [](const std::string& read) {
    return GraphBuilder()
        .Input("x", {kBatch, 4})
        .Input("huge", {kBatch, kHuge})
        .Ints("columns", {0, 1, 2, 3})
        .Weight("w", {4, 2})
        .Node("Gather", {read, "columns"}, {"c"}, {Int("axis", 1)})
        .Node("MatMul", {"c", "w"}, {"y"})
        .Output("y")
        .Build();
  };
  EXPECT_THAT(FindFeatures(build("huge")).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("input 'huge'")));
  EXPECT_OK(FindFeatures(build("x")).status());
  GraphBuilder doubling;
  doubling.Input("x", {kBatch, 4}).Ints("first", {0}).Weight("w", {1, 2});
  std::string value = "x";
  for (int i = 0; i < 30; ++i) {
    const std::string twice = "twice" + std::to_string(i);
    doubling.Node("Concat", {value, value}, {twice}, {Int("axis", 1)});
    value = twice;
  }
  doubling.Node("Gather", {value, "first"}, {"c"}, {Int("axis", 1)})
      .Node("MatMul", {"c", "w"}, {"y"})
      .Output("y");
  EXPECT_THAT(FindFeatures(doubling.Build()).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("Concat node")));
}

TEST(FindFeatures, PassesElementsOnForNothing) {
  constexpr int64_t kWide = 1 << 16;
  GraphBuilder b;
  b.Input("x", {kBatch, kWide}).Weight("w", {kWide, 1});
  std::string value = "x";
  for (int i = 0; i < 1000; ++i) {
    const std::string next = "relu" + std::to_string(i);
    b.Node("Relu", {value}, {next});
    value = next;
  }
  b.Node("MatMul", {value, "w"}, {"y"}).Output("y");
  ASSERT_OK_AND_ASSIGN(const FeatureLayer found, FindFeatures(b.Build()));
  EXPECT_EQ(found.features.size(), kWide);
}

TEST(FindFeatures, RefusesAStackOfMatrices) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4})
                          .Ints("flat", {-1, 2})
                          .Weight("w", {1, 4, 2})
                          .Node("MatMul", {"x", "w"}, {"m"}, {}, "first")
                          .Node("Reshape", {"m", "flat"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(FindFeatures(graph).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("MatMul node 'first'")));
}

// What else reads it would read a narrower weight.
TEST(FindFeatures, RefusesAWeightThatHasOtherReaders) {
  const auto build = [](const std::string& read) {
    return GraphBuilder()
        .Input("x", {kBatch, 4})
        .Ints("last", {3})
        .Weight("w", {4, 4})
        .Node("Transpose", {"w"}, {"wt"}, {List("perm", {1, 0})})
        .Node("MatMul", {"x", "wt"}, {"h"})
        .Node("Gather", {read, "last"}, {"row"})
        .Node("Add", {"h", "row"}, {"y"})
        .Output("y")
        .Build();
  };
  for (const std::string read : {"w", "wt"}) {
    EXPECT_THAT(FindFeatures(build(read)).status(),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'w'")))
        << read;
  }
}

}  // namespace
}  // namespace topiary
