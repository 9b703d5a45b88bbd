#include "worker/engine/fusion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/networks.h"

namespace topiary {
namespace {

// "Conv+relu" and so on, in order: what each fused node takes in.
std::vector<std::string> Fused(const GradientCase& test_case,
                               const std::set<std::string>& kept = {"y"},
                               bool differentiates = false) {
  const Graph& graph = test_case.graph;
  const auto shapes = InputShapesForBatch(graph, test_case.batch);
  EXPECT_OK(shapes.status());
  const auto inferred = InferShapes(graph, *shapes);
  EXPECT_OK(inferred.status());
  std::vector<std::string> names;
  for (const FusedNode& fused : FuseNodes(graph, *inferred, kept, differentiates)) {
    if (fused.attention.has_value()) {
      names.push_back(fused.attention->mask.empty() ? "Attention" : "Attention+mask");
      continue;
    }
    names.push_back((fused.gelu ? "Gelu" : graph.nodes[fused.index].op_type) +
                    (fused.transposed_weight.empty() ? "" : "+transpose") +
                    (fused.factor == 1 ? "" : "+factor") + (fused.bias.empty() ? "" : "+bias") +
                    (fused.residual.empty() ? "" : "+add") + (fused.relu ? "+relu" : "") +
                    (fused.gelu_of_product ? "+gelu" : ""));
  }
  return names;
}

using Names = std::vector<std::string>;

GradientGraph ConvThenRelu() {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 2, 4, 4})
      .Weight("w", {2, 2, 1, 1})
      .Node("Conv", {"x", "w"}, "c")
      .Node("Relu", {"c"}, "r");
  return graph;
}

GradientGraph Normalized() {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 2, 4, 4})
      .Weight("s", {2})
      .Weight("b", {2})
      .Statistics("m", "v", 2)
      .Node("BatchNormalization", {"x", "s", "b", "m", "v"}, "n");
  return graph;
}

TEST(Fusion, AReluJoinsTheConvolutionBeforeIt) {
  GradientGraph graph = ConvThenRelu();
  graph.Node("Sigmoid", {"r"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"Conv+relu", "Sigmoid"}));
}

TEST(Fusion, AValueWithASecondUseStays) {
  GradientGraph graph = ConvThenRelu();
  graph.Node("Mul", {"r", "c"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"Conv", "Relu", "Mul"}));
}

TEST(Fusion, AnOutputOfTheGraphStays) {
  GradientGraph graph = ConvThenRelu();
  graph.Node("Sigmoid", {"r"}, "y").Output("y").Output("c");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2), {"y", "c"}),
            (Names{"Conv", "Relu", "Sigmoid"}));
}

TEST(Fusion, BatchNormTakesTheSumAndTheRelu) {
  GradientGraph graph = Normalized();
  graph.Node("Tanh", {"x"}, "t").Node("Add", {"t", "n"}, "a").Node("Relu", {"a"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"Tanh", "BatchNormalization+add+relu"}));
}

TEST(Fusion, ASumWithoutReluIsLeftAlone) {
  GradientGraph graph = Normalized();
  graph.Node("Add", {"x", "n"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"BatchNormalization", "Add"}));
}

TEST(Fusion, AStretchedSumKeepsItsOwnRelu) {
  GradientGraph graph = Normalized();
  graph.Weight("o", {2, 1, 1}).Node("Add", {"n", "o"}, "a").Node("Relu", {"a"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"BatchNormalization", "Add+relu"}));
}

TEST(Fusion, OperandsStillComeBeforeTheirUsers) {
  // The residual is computed after the batch normalization that it is fused with.
  GradientGraph graph = Normalized();
  graph.Node("Sigmoid", {"x"}, "s1")
      .Node("Tanh", {"s1"}, "late")
      .Node("Add", {"n", "late"}, "a")
      .Node("Relu", {"a"}, "y")
      .Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"Sigmoid", "Tanh", "BatchNormalization+add+relu"}));
}

// x -> Transpose(w) -> MatMul -> Div -> Add -> Relu.
GradientGraph Linear() {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 3, 4})
      .Weight("w", {5, 4})
      .Weight("bias", {5})
      .Constant("two", Tensor::Scalar(2.0f))
      .Node("Transpose", {"w"}, "t", {List("perm", {1, 0})})
      .Node("MatMul", {"x", "t"}, "p");
  return graph;
}

TEST(Fusion, AProductTakesTransposeFactorBiasAndRelu) {
  GradientGraph graph = Linear();
  graph.Node("Div", {"p", "two"}, "q")
      .Node("Add", {"bias", "q"}, "r")
      .Node("Relu", {"r"}, "y")
      .Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"MatMul+transpose+factor+bias+relu"}));
}

TEST(Fusion, AWeightThatIsUsedTwiceIsTransposedOnce) {
  GradientGraph graph = Linear();
  graph.Node("MatMul", {"x", "t"}, "q").Node("Mul", {"p", "q"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"Transpose", "MatMul", "MatMul", "Mul"}));
}

TEST(Fusion, ANumberDividedByAProductIsNoFactor) {
  GradientGraph graph = Linear();
  graph.Node("Div", {"two", "p"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"MatMul+transpose", "Div"}));
}

TEST(Fusion, APartOfAProductThatIsWantedStays) {
  GradientGraph graph = Linear();
  graph.Node("Div", {"p", "two"}, "q").Node("Add", {"bias", "q"}, "y").Output("y").Output("q");
  const GradientCase model = graph.Finish("", LossKind::kNone, 2);
  EXPECT_EQ(Fused(model, {"y", "q"}), (Names{"MatMul+transpose+factor", "Add"}));
  EXPECT_EQ(Fused(model, {"y", "p"}), (Names{"MatMul+transpose", "Div", "Add"}));
}

TEST(Fusion, ADivisorWhoseInverseIsInfiniteIsNoFactor) {
  GradientGraph graph = Linear();
  graph.Constant("tiny", Tensor::Scalar(1e-40f)).Node("Div", {"p", "tiny"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"MatMul+transpose", "Div"}));
}

TEST(Fusion, AVectorOfAnotherAxisIsNoBias) {
  GradientGraph graph = Linear();
  graph.Weight("column", {3, 1}).Node("Add", {"p", "column"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"MatMul+transpose", "Add"}));
}

GradientGraph Erf(float divisor) {
  GradientGraph graph;
  graph.Input("x", {GraphBuilder::kBatch, 4})
      .Constant("root", Tensor::Scalar(divisor))
      .Constant("one", Tensor::Scalar(1.0f))
      .Constant("half", Tensor::Scalar(0.5f))
      .Node("Div", {"x", "root"}, "s")
      .Node("Erf", {"s"}, "e")
      .Node("Add", {"one", "e"}, "a");
  return graph;
}

TEST(Fusion, AGeluInFiveStepsIsOne) {
  GradientGraph graph = Erf(1.41421356f);
  graph.Node("Mul", {"x", "a"}, "m").Node("Mul", {"m", "half"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)), (Names{"Gelu"}));
}

// x -> MatMul -> Add -> Gelu -> MatMul -> Add of what came in.
GradientGraph ResidualBranch() {
  GradientGraph graph;
  graph.Input("i", {GraphBuilder::kBatch, 4})
      .Weight("v", {4, 4})
      .Weight("c", {4})
      .Weight("w", {4, 4})
      .Constant("root", Tensor::Scalar(1.41421356f))
      .Constant("one", Tensor::Scalar(1.0f))
      .Constant("half", Tensor::Scalar(0.5f))
      .Node("Tanh", {"i"}, "x")
      .Node("MatMul", {"x", "v"}, "p")
      .Node("Add", {"p", "c"}, "g")
      .Node("Div", {"g", "root"}, "s")
      .Node("Erf", {"s"}, "e")
      .Node("Add", {"one", "e"}, "a")
      .Node("Mul", {"g", "a"}, "m")
      .Node("Mul", {"m", "half"}, "h")
      .Node("MatMul", {"h", "w"}, "q");
  return graph;
}

TEST(Fusion, ProductsThatNeedNoGradientTakeGeluAndResidualSum) {
  GradientGraph graph = ResidualBranch();
  graph.Node("Add", {"x", "q"}, "y").Output("y");
  const GradientCase test_case = graph.Finish("", LossKind::kNone, 2);
  EXPECT_EQ(Fused(test_case), (Names{"Tanh", "MatMul+bias+gelu", "MatMul+add"}));
  EXPECT_EQ(Fused(test_case, {"y"}, /*differentiates=*/true),
            (Names{"Tanh", "MatMul+bias", "Gelu", "MatMul", "Add"}));
}

TEST(Fusion, AResidualSumThatIsRectifiedIsOneProduct) {
  GradientGraph graph = ResidualBranch();
  graph.Node("Add", {"x", "q"}, "z").Node("Relu", {"z"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"Tanh", "MatMul+bias+gelu", "MatMul+add+relu"}));
}

// The Gelu takes no value that something else reads, nor the sum of a value with itself.
TEST(Fusion, ProductsThatAreReadOtherwiseStay) {
  GradientGraph graph = ResidualBranch();
  graph.Node("Add", {"g", "q"}, "z").Node("Add", {"z", "z"}, "y").Output("y");
  EXPECT_EQ(Fused(graph.Finish("", LossKind::kNone, 2)),
            (Names{"Tanh", "MatMul+bias", "Gelu", "MatMul+add", "Add"}));
}

TEST(Fusion, WhatOnlyLooksLikeAGeluIsLeftAlone) {
  GradientGraph other = Erf(1.5f);
  other.Node("Mul", {"x", "a"}, "m").Node("Mul", {"m", "half"}, "y").Output("y");
  EXPECT_EQ(Fused(other.Finish("", LossKind::kNone, 2)),
            (Names{"Div", "Erf", "Add", "Mul", "Mul"}));
  GradientGraph open = Erf(1.41421356f);
  open.Node("Mul", {"s", "a"}, "m").Node("Mul", {"m", "half"}, "y").Output("y");
  EXPECT_EQ(Fused(open.Finish("", LossKind::kNone, 2)), (Names{"Div", "Erf", "Add", "Mul", "Mul"}));
}

GradientCase Attention(GradientGraph graph) { return graph.Finish("", LossKind::kNone, 2); }

const Names kFusedAttention = {"MatMul", "Reshape", "MatMul",        "Reshape",
                               "MatMul", "Reshape", "Attention+mask"};

TEST(Fusion, RecognizesAttention) {
  EXPECT_EQ(Fused(Attention(AttentionGraph())), kFusedAttention);
  EXPECT_EQ(Fused(Attention(AttentionGraph()), {"y"}, /*differentiates=*/true), kFusedAttention);
}

TEST(Fusion, AttentionWhoseMaskIsTrainedStays) {
  const GradientCase trained = Attention(AttentionGraph({0, 2, 1, 3}, AttentionMask::kTrained));
  EXPECT_EQ(Fused(trained), kFusedAttention);
  const Names names = Fused(trained, {"y"}, /*differentiates=*/true);
  EXPECT_EQ(std::count(names.begin(), names.end(), "Softmax"), 1);
  EXPECT_EQ(std::count(names.begin(), names.end(), "Transpose"), 4);
}

TEST(Fusion, AttentionWhoseScoresAreReadStays) {
  const Names names = Fused(Attention(AttentionGraph()), {"y", "weights"});
  EXPECT_EQ(std::count(names.begin(), names.end(), "Softmax"), 1);
  EXPECT_EQ(std::count(names.begin(), names.end(), "Transpose"), 4);
}

TEST(Fusion, ProductsThatEndOtherwiseAreNoAttention) {
  const Names names = Fused(Attention(AttentionGraph({0, 1, 3, 2})));
  EXPECT_EQ(std::count(names.begin(), names.end(), "Softmax"), 1);
  EXPECT_EQ(std::count(names.begin(), names.end(), "Transpose"), 4);
}

}  // namespace
}  // namespace topiary
