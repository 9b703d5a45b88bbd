#include "worker/model/shape_inference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr int64_t kBatch = GraphBuilder::kBatch;

absl::StatusOr<InferredGraph> Infer(const Graph& graph, int64_t batch = 2) {
  absl::StatusOr<std::map<std::string, Shape>> shapes = InputShapesForBatch(graph, batch);
  if (!shapes.ok()) return shapes.status();
  return InferShapes(graph, *shapes);
}

// One node `op` that reads input "x" and, after it, initializers "p0", "p1", ... of given shapes.
struct OneNode {
  std::string op;
  std::vector<int64_t> x;
  std::vector<Shape> weights;
  std::vector<Attribute> attributes;
  std::vector<std::vector<int64_t>> ints;  // Integer operands, after the weights.
  Shape dst;                               // Of a good node.
  std::string message = "";                // Of a bad one.
  absl::StatusCode code = kInvalid;
};

Graph GraphOf(const OneNode& c) {
  GraphBuilder builder;
  builder.Input("x", c.x).Output("y");
  std::vector<std::string> operands = {"x"};
  for (const Shape& shape : c.weights) {
    operands.push_back("p" + std::to_string(operands.size()));
    builder.Weight(operands.back(), shape);
  }
  for (const std::vector<int64_t>& values : c.ints) {
    operands.push_back("p" + std::to_string(operands.size()));
    builder.Ints(operands.back(), values);
  }
  return builder.Node(c.op, operands, {"y"}, c.attributes, "n").Build();
}

std::string CaseName(const testing::TestParamInfo<OneNode>& info) {
  return info.param.op + std::to_string(info.index);
}

class GoodNodes : public testing::TestWithParam<OneNode> {};

TEST_P(GoodNodes, HaveTheShapeThatOnnxSays) {
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(GraphOf(GetParam())));
  EXPECT_EQ(inferred.values.at("y").shape, GetParam().dst);
  EXPECT_EQ(inferred.values.at("y").dtype, DType::kFloat32);
  EXPECT_THAT(inferred.live_nodes, ElementsAre(0));
}

INSTANTIATE_TEST_SUITE_P(
    ShapeInference, GoodNodes,
    testing::Values(
        OneNode{"Gemm", {kBatch, 4}, {{4, 3}, {3}}, {}, {}, {2, 3}},
        OneNode{"Gemm", {kBatch, 4}, {{3, 4}}, {Int("transB", 1)}, {}, {2, 3}},
        OneNode{"Gemm", {kBatch, 4}, {{2, 3}}, {Int("transA", 1)}, {}, {4, 3}},
        OneNode{"MatMul", {kBatch, 4}, {{4, 3}}, {}, {}, {2, 3}},
        OneNode{"MatMul", {kBatch, 5, 4}, {{4, 3}}, {}, {}, {2, 5, 3}},
        OneNode{"MatMul", {kBatch, 5, 4}, {{2, 4, 3}}, {}, {}, {2, 5, 3}},
        OneNode{"MatMul", {kBatch, 4}, {{4}}, {}, {}, {2}},
        OneNode{"Add", {kBatch, 1, 4}, {{3, 1}}, {}, {}, {2, 3, 4}},
        OneNode{"Sub", {kBatch, 4}, {{4}}, {}, {}, {2, 4}},
        OneNode{"LayerNormalization", {kBatch, 3, 4}, {{4}, {4}}, {}, {}, {2, 3, 4}},
        OneNode{"LayerNormalization", {kBatch, 3, 4}, {{3, 4}}, {Int("axis", 1)}, {}, {2, 3, 4}},
        OneNode{"Gelu", {kBatch, 4}, {}, {}, {}, {2, 4}},
        OneNode{"Gather", {kBatch, 4}, {}, {Int("axis", 1)}, {{0, 3, 1}}, {2, 3}},
        OneNode{"Mul", {kBatch, 4}, {{}}, {}, {}, {2, 4}},
        OneNode{"Div", {kBatch, 4}, {{1, 4}}, {}, {}, {2, 4}},
        OneNode{"Conv", {kBatch, 3, 8, 8}, {{6, 3, 3, 3}, {6}}, {}, {}, {2, 6, 6, 6}},
        OneNode{"Conv",
                {kBatch, 4, 9},
                {{6, 2, 3}},
                {Int("group", 2), List("strides", {2})},
                {},
                {2, 6, 4}},
        OneNode{"MaxPool",
                {kBatch, 3, 8, 8},
                {},
                {List("kernel_shape", {2, 2}), List("strides", {2, 2})},
                {},
                {2, 3, 4, 4}},
        OneNode{"AveragePool", {kBatch, 3, 8}, {}, {List("kernel_shape", {3})}, {}, {2, 3, 6}},
        OneNode{"GlobalAveragePool", {kBatch, 3, 8, 8}, {}, {}, {}, {2, 3, 1, 1}},
        OneNode{"BatchNormalization", {kBatch, 3, 8}, {{3}, {3}, {3}, {3}}, {}, {}, {2, 3, 8}},
        OneNode{"Relu", {kBatch, 3}, {}, {}, {}, {2, 3}},
        OneNode{"LeakyRelu", {kBatch, 3}, {}, {Float("alpha", 0.1f)}, {}, {2, 3}},
        OneNode{"Sigmoid", {kBatch, 3}, {}, {}, {}, {2, 3}},
        OneNode{"Tanh", {kBatch, 3}, {}, {}, {}, {2, 3}},
        OneNode{"Clip", {kBatch, 3}, {{}, {}}, {}, {}, {2, 3}},
        OneNode{"Softmax", {kBatch, 3}, {}, {Int("axis", 1)}, {}, {2, 3}},
        OneNode{"LogSoftmax", {kBatch, 3}, {}, {}, {}, {2, 3}},
        OneNode{"Dropout", {kBatch, 3}, {{}}, {}, {}, {2, 3}},
        OneNode{"Identity", {kBatch, 3}, {}, {}, {}, {2, 3}},
        OneNode{"Flatten", {kBatch, 3, 4}, {}, {}, {}, {2, 12}},
        OneNode{"Flatten", {kBatch, 3, 4}, {}, {Int("axis", 0)}, {}, {1, 24}},
        OneNode{"Flatten", {kBatch, 3, 4}, {}, {Int("axis", -1)}, {}, {6, 4}},
        OneNode{"Flatten", {kBatch, 3, 4}, {}, {Int("axis", 3)}, {}, {24, 1}},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{0, 3, -1}}, {2, 3, 4}},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{-1}}, {24}},
        OneNode{"Reshape", {kBatch, 0}, {}, {Int("allowzero", 1)}, {{0, 7}}, {0, 7}},
        OneNode{"Transpose", {kBatch, 3, 4}, {}, {List("perm", {0, 2, 1})}, {}, {2, 4, 3}},
        OneNode{"Transpose", {kBatch, 3}, {}, {}, {}, {3, 2}},
        OneNode{"Squeeze", {kBatch, 1, 3, 1}, {}, {}, {{1, -1}}, {2, 3}},
        OneNode{"Squeeze", {kBatch, 1, 3, 1}, {}, {}, {}, {2, 3}},
        OneNode{"Unsqueeze", {kBatch, 3}, {}, {}, {{1, -1}}, {2, 1, 3, 1}},
        OneNode{"Concat", {kBatch, 3}, {{2, 5}}, {Int("axis", -1)}, {}, {2, 8}},
        OneNode{"Cast", {kBatch, 3}, {}, {Int("to", 1)}, {}, {2, 3}}),
    CaseName);

class BadNodes : public testing::TestWithParam<OneNode> {};

TEST_P(BadNodes, AreNamedWithTheirOperatorAndTheReason) {
  EXPECT_THAT(Infer(GraphOf(GetParam())),
              StatusIs(GetParam().code, AllOf(HasSubstr(GetParam().op + " node 'n': "),
                                              HasSubstr(GetParam().message))));
}

INSTANTIATE_TEST_SUITE_P(
    ShapeInference, BadNodes,
    testing::Values(
        OneNode{"Gemm", {kBatch, 4}, {{3, 4}}, {}, {}, {}, "disagree about K"},
        OneNode{"Gemm", {kBatch, 4, 1}, {{3, 4}}, {}, {}, {}, "rank 3, not 2"},
        OneNode{"Gemm", {kBatch, 4}, {{4, 3}, {2}}, {}, {}, {}, "C [2] does not broadcast"},
        OneNode{"Gemm", {kBatch, 4}, {{4, 3}}, {Int("transB", 2)}, {}, {}, "'transB' is 2"},
        OneNode{"Gemm", {kBatch, 4}, {}, {}, {}, {}, "1 operands; Gemm takes 2 to 3"},
        OneNode{"MatMul", {kBatch, 4}, {{3, 4}}, {}, {}, {}, "disagree about K"},
        OneNode{"MatMul", {kBatch, 5, 4}, {{3, 4, 3}}, {}, {}, {}, "cannot be broadcast"},
        OneNode{"Add", {kBatch, 4}, {{3}}, {}, {}, {}, "cannot be broadcast"},
        OneNode{"Add", {kBatch, 4}, {}, {}, {{1, 2, 3, 4}}, {}, "operands are float32 and int64"},
        OneNode{"Conv", {kBatch, 3, 8}, {{4, 3, 3}, {3}}, {}, {}, {}, "bias [3] should be [4]"},
        OneNode{"BatchNormalization",
                {kBatch, 3},
                {{3}, {4}, {3}, {3}},
                {},
                {},
                {},
                "bias [4] should be [3]"},
        OneNode{"BatchNormalization", {kBatch, 3}, {{3}, {3}}, {}, {}, {}, "3 operands"},
        OneNode{"GlobalAveragePool", {kBatch, 3}, {}, {}, {}, {}, "no spatial axis"},
        OneNode{"Softmax", {kBatch, 3}, {}, {Int("axis", 2)}, {}, {}, "axis 2"},
        OneNode{"Concat", {kBatch, 3}, {{3, 3}}, {Int("axis", 1)}, {}, {}, "operand 1"},
        OneNode{"Concat", {kBatch, 3}, {{2, 3}}, {}, {}, {}, "'axis' is missing"},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{5, -1}}, {}, "dynamic batch axis"},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{-1, -1}}, {}, "not a shape"},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{1, 1, 0}}, {}, "extent 0 at axis 2"},
        OneNode{"Reshape", {kBatch, 12}, {}, {}, {{int64_t{1} << 62, 8}}, {}, "more than"},
        OneNode{"Squeeze", {kBatch, 3}, {}, {}, {{1}}, {}, "is not 1"},
        OneNode{"Unsqueeze", {kBatch, 3}, {}, {}, {{1, 1}}, {}, "name an axis twice"},
        OneNode{"Unsqueeze", {kBatch, 3}, {}, {}, {}, {}, "no axes"},
        OneNode{"Transpose", {kBatch, 3}, {}, {List("perm", {1})}, {}, {}, "not a permutation"},
        OneNode{"Clip", {kBatch, 3}, {{2}}, {}, {}, {}, "lower bound"},
        OneNode{"Flatten", {kBatch, 3}, {}, {Int("axis", 3)}, {}, {}, "axis 3"},
        OneNode{"Relu", {kBatch, 3}, {{3}}, {}, {}, {}, "2 operands"},
        OneNode{
            "LayerNormalization", {kBatch, 3, 4}, {{4}, {3}}, {}, {}, {}, "bias [3] should be [4]"},
        OneNode{"Gelu",
                {kBatch, 4},
                {},
                {String("approximate", "tanh")},
                {},
                {},
                "approximate 'tanh'",
                kUnimplemented},
        OneNode{"Gather", {kBatch, 3}, {{2}}, {}, {}, {}, "indices are float32"},
        OneNode{"Slice",
                {kBatch, 3},
                {},
                {},
                {{0}, {1}},
                {},
                "only where it computes shapes",
                kUnimplemented},
        OneNode{
            "LSTM", {kBatch, 3}, {}, {}, {}, {}, "supported are Add, AveragePool", kUnimplemented}),
    CaseName);

TEST(ShapeInference, AnOperatorOfAnotherDomainIsNamedWithIt) {
  Graph graph = GraphOf({"Relu", {kBatch, 3}, {}, {}, {}, {}, ""});
  graph.nodes[0].domain = "com.microsoft";
  EXPECT_THAT(Infer(graph), StatusIs(kUnimplemented, HasSubstr("com.microsoft.Relu")));
}

// What PyTorch writes for x.view(x.size(0), -1).
TEST(ShapeInference, ShapeArithmeticIsComputedForTheBatch) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3, 4})
                          .Node("Shape", {"x"}, {"shape"})
                          .Node("Constant", {}, {"zero"}, {Int("value_int", 0)})
                          .Node("Gather", {"shape", "zero"}, {"rows"})
                          .Ints("axes", {0})
                          .Node("Unsqueeze", {"rows", "axes"}, {"rows1"})
                          .Node("Constant", {}, {"rest"}, {List("value_ints", {-1})})
                          .Node("Concat", {"rows1", "rest"}, {"target"}, {Int("axis", 0)})
                          .Node("Reshape", {"x", "target"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(graph, 7));
  EXPECT_EQ(inferred.values.at("y").shape, Shape({7, 12}));
  EXPECT_THAT(inferred.live_nodes, ElementsAre(6));
  EXPECT_THAT(inferred.constants.at("target").span<int64_t>(), ElementsAre(7, -1));
  EXPECT_THAT(inferred.parameters, IsEmpty());
}

TEST(ShapeInference, ANodeThatOnlyAShapeReadsDoesNotRun) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4})
                          .Node("Relu", {"x"}, {"r"})
                          .Node("Shape", {"r"}, {"shape"})
                          .Node("Tanh", {"x"}, {"unused"})
                          .Node("Reshape", {"x", "shape"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(graph));
  EXPECT_THAT(inferred.live_nodes, ElementsAre(3));
}

TEST(ShapeInference, ShapeMayReportSomeAxesOnly) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3, 5})
                          .Node("Shape", {"x"}, {"s"}, {Int("start", -2), Int("end", 9)})
                          .Node("ConstantOfShape", {"s"}, {"c"},
                                {Constant("value", Tensor::FromVector<float>(Shape({1}), {1.5f}))})
                          .Node("Add", {"x", "c"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(graph));
  EXPECT_EQ(inferred.constants.at("c").shape(), Shape({3, 5}));
  EXPECT_EQ(inferred.constants.at("c").data<float>()[14], 1.5f);
  EXPECT_THAT(inferred.live_nodes, ElementsAre(2));
}

TEST(ShapeInference, ParametersAreOperandsThatTrainingChanges) {
  const Graph graph =
      GraphBuilder()
          .Input("x", {kBatch, 4})
          .Weight("w", {4, 3})
          .Weight("unused", {4, 3})
          .Weight("scale", {3})
          .Weight("bias", {3})
          .Weight("mean", {3})
          .Weight("variance", {3})
          .Weight("half", Shape())
          .Weight("bound", Shape())
          .Node("MatMul", {"x", "w"}, {"a"})
          .Node("BatchNormalization", {"a", "scale", "bias", "mean", "variance"}, {"b"})
          .Node("Mul", {"b", "half"}, {"c"})
          .Node("Clip", {"c", "bound"}, {"y"})
          .Output("y")
          .Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(graph));
  EXPECT_THAT(inferred.parameters, ElementsAre("w", "scale", "bias"));
  EXPECT_THAT(inferred.statistics, ElementsAre("mean", "variance"));
  EXPECT_EQ(ConstantValue(graph, inferred, "half")->shape().rank(), 0);
  EXPECT_EQ(ConstantValue(graph, inferred, "a"), nullptr);
}

// A transposed weight keeps its gradient: it is not folded away.
TEST(ShapeInference, NodesBetweenAParameterAndItsUseRun) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4})
                          .Weight("w", {3, 4})
                          .Node("Transpose", {"w"}, {"wt"})
                          .Node("MatMul", {"x", "wt"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, Infer(graph));
  EXPECT_THAT(inferred.live_nodes, ElementsAre(0, 1));
  EXPECT_THAT(inferred.parameters, ElementsAre("w"));
}

TEST(ShapeInference, IntegersThatDependOnDataAreNotComputed) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 2})
                          .Node("Cast", {"x"}, {"i"}, {Int("to", 7)})
                          .Node("Cast", {"i"}, {"y"}, {Int("to", 1)}, "n")
                          .Output("y")
                          .Build();
  EXPECT_THAT(Infer(graph), StatusIs(kUnimplemented,
                                     AllOf(HasSubstr("Cast node 'n'"), HasSubstr("'i' is int64"))));
}

TEST(ShapeInference, AnIntegerInputMayPickRowsAndNothingElse) {
  GraphBuilder gather;
  gather.Input("ids", {kBatch, 2}, DType::kInt64)
      .Weight("table", Shape({5, 3}))
      .Node("Flatten", {"ids"}, {"flat"})
      .Node("Gather", {"table", "flat"}, {"y"});
  EXPECT_OK(Infer(gather.Output("y").Build()));
  GraphBuilder cast;
  cast.Input("ids", {kBatch, 2}, DType::kInt64).Node("Cast", {"ids"}, {"y"}, {Int("to", 1)}, "c");
  EXPECT_THAT(Infer(cast.Output("y").Build()), StatusIs(kUnimplemented, HasSubstr("'c'")));
  GraphBuilder relu;
  relu.Input("ids", {kBatch, 2}, DType::kInt64).Node("Relu", {"ids"}, {"y"}, {}, "act");
  EXPECT_THAT(Infer(relu.Output("y", DType::kInt64).Build()),
              StatusIs(kUnimplemented, AllOf(HasSubstr("'act'"), HasSubstr("'ids' is int64"))));
}

TEST(ShapeInference, AReshapeToADataDependentShapeIsRefused) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 2})
                          .Input("s", {2}, DType::kInt64)
                          .Node("Reshape", {"x", "s"}, {"y"}, {}, "n")
                          .Output("y")
                          .Build();
  EXPECT_THAT(Infer(graph), StatusIs(kUnimplemented, HasSubstr("'s') depends on the data")));
}

TEST(ShapeInference, SecondOutputsMayExistButNotBeRead) {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 3}).Weight("s", {3}).Weight("m", {3});
  builder.Node("BatchNormalization", {"x", "s", "s", "m", "m"}, {"y", "rm", "rv"},
               {Int("training_mode", 1)}, "bn");
  Graph graph = builder.Output("y").Build();
  EXPECT_OK(Infer(graph));
  graph.outputs.push_back(graph.outputs[0]);
  graph.outputs[1].name = "rm";
  EXPECT_THAT(Infer(graph), StatusIs(kUnimplemented, AllOf(HasSubstr("'bn'"), HasSubstr("'rm'"))));
}

TEST(ShapeInference, StatisticsThatAreComputedAreRefused) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Weight("s", {3})
                          .Node("Relu", {"s"}, {"m"})
                          .Node("BatchNormalization", {"x", "s", "s", "m", "s"}, {"y"}, {}, "bn")
                          .Output("y")
                          .Build();
  EXPECT_THAT(Infer(graph), StatusIs(kUnimplemented, HasSubstr("running statistic")));
}

TEST(ShapeInference, AnInputOfAnotherTypeOrShapeIsRefused) {
  const Graph bytes =
      GraphBuilder().Input("x", {kBatch}, DType::kUint8).Output("x", DType::kUint8).Build();
  EXPECT_THAT(Infer(bytes), StatusIs(kUnimplemented, HasSubstr("'x' is uint8")));
  const Graph graph = GraphBuilder().Input("x", {kBatch, 3}).Output("x").Build();
  EXPECT_THAT(InferShapes(graph, {}), StatusIs(kInvalid, HasSubstr("no shape is given")));
  EXPECT_THAT(InferShapes(graph, {{"x", Shape({2, 4})}}),
              StatusIs(kInvalid, HasSubstr("[batch,3] and cannot be [2,4]")));
}

}  // namespace
}  // namespace topiary
