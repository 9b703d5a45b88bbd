#include "worker/export/shrink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/random.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/networks.h"
#include "worker/export/testing/shrink_checks.h"

namespace topiary {
namespace {

using testing::IsEmpty;

constexpr int64_t kBatch = GraphBuilder::kBatch;

// ---- Layers one after the other
// ----------------------------------------------------------------

// 4 -> 6 -> 5 with `activation`.
Graph Perceptron(const std::string& activation) {
  return GradientGraph()
      .Input("x", {kBatch, 4})
      .Weight("w1", Shape({6, 4}))
      .Weight("b1", Shape({6}))
      .Weight("w2", Shape({5, 6}))
      .Weight("b2", Shape({5}))
      .Node("Gemm", {"x", "w1", "b1"}, "h", {Int("transB", 1)})
      .Node(activation, {"h"}, "a")
      .Node("Gemm", {"a", "w2", "b2"}, "y", {Int("transB", 1)})
      .Output("y")
      .Finish("p", LossKind::kNone, 2)
      .graph;
}

TEST(Shrink, TakesNeuronsAwayThatNothingReads) {
  Graph graph = Perceptron("Relu");
  ClearSlice(&graph, "w2", 1, 2);
  ClearSlice(&graph, "w2", 1, 5);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({4, 4}));
  EXPECT_EQ(ShapeOf(model, "b1"), Shape({4}));
  EXPECT_EQ(ShapeOf(model, "w2"), Shape({5, 4}));
  ASSERT_EQ(model.tensors.size(), 3u);
  EXPECT_EQ(model.tensors[0].name, "w1");
  EXPECT_EQ(model.tensors[0].before, Shape({6, 4}));
  EXPECT_EQ(model.tensors[0].after, Shape({4, 4}));
}

class ShrinkThrough : public testing::TestWithParam<const char*> {};

// What an emptied neuron makes of its bias becomes part of the next layer's bias.
TEST_P(ShrinkThrough, FoldsTheConstantOfAnEmptiedNeuron) {
  Graph graph = Perceptron(GetParam());
  ClearSlice(&graph, "w1", 0, 1);
  ClearSlice(&graph, "w1", 0, 4);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({4, 4}));
  EXPECT_EQ(ShapeOf(model, "w2"), Shape({5, 4}));
  EXPECT_EQ(ShapeOf(model, "b2"), Shape({5}));
}

INSTANTIATE_TEST_SUITE_P(Activations, ShrinkThrough,
                         testing::Values("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Erf", "Gelu",
                                         "Identity", "Clip", "Dropout"));

TEST(Shrink, LeavesANetworkAloneThatHasNothingToGive) {
  EXPECT_THAT(ShrunkAndEqual(Perceptron("Relu")).tensors, IsEmpty());
}

TEST(Shrink, InputsAndOutputsKeepTheirWidth) {
  Graph graph = Perceptron("Relu");
  ClearSlice(&graph, "w1", 1, 0);  // Nothing reads the first input.
  ClearSlice(&graph, "w2", 0, 3);  // The fourth output is its bias.
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(Shrink, KeepsOneChannelOfALayerThatIsAllEmpty) {
  Graph graph = Perceptron("Relu");
  for (int64_t i = 0; i < 6; ++i) ClearSlice(&graph, "w1", 0, i);
  EXPECT_EQ(ShapeOf(ShrunkAndEqual(graph), "w2"), Shape({5, 1}));
}

TEST(Shrink, WhatOneLayerLosesMayEmptyTheLayerBefore) {
  Graph graph = GradientGraph()
                    .Input("x", {kBatch, 3})
                    .Weight("w1", Shape({3, 4}))
                    .Weight("w2", Shape({4, 4}))
                    .Weight("w3", Shape({4, 2}))
                    .Node("MatMul", {"x", "w1"}, "h1")
                    .Node("Relu", {"h1"}, "a1")
                    .Node("MatMul", {"a1", "w2"}, "h2")
                    .Node("Relu", {"h2"}, "a2")
                    .Node("MatMul", {"a2", "w3"}, "y")
                    .Output("y")
                    .Finish("p", LossKind::kNone, 2)
                    .graph;
  // Channel 1 of h1 is read for channels 0 and 2 of h2 only, and nothing reads those.
  ClearSlice(&graph, "w3", 0, 0);
  ClearSlice(&graph, "w3", 0, 2);
  float* w2 = graph.FindInitializer("w2")->value.data<float>();
  w2[1 * 4 + 1] = w2[1 * 4 + 3] = 0;
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({3, 3}));
  EXPECT_EQ(ShapeOf(model, "w2"), Shape({3, 2}));
  EXPECT_EQ(ShapeOf(model, "w3"), Shape({2, 2}));
}

TEST(Shrink, ABiasOfOneNumberBecomesOneOfMany) {
  Graph graph = Perceptron("Sigmoid");
  *graph.FindInitializer("b2") = {"b2", RandomWeight("b2", Shape({1})), ""};
  ClearSlice(&graph, "w1", 0, 1);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({5, 4}));
  EXPECT_EQ(ShapeOf(model, "y.bias"), Shape({5}));
  EXPECT_EQ(model.graph.FindInitializer("b2"), nullptr);
}

// A Transformer's linear layers: products of stacked rows, their biases nodes of their own.
Graph FeedForward(bool second_bias) {
  GradientGraph graph;
  graph.Input("x", {kBatch, 3, 4})
      .Weight("w1", Shape({4, 6}))
      .Weight("b1", Shape({6}))
      .Weight("w2", Shape({6, 4}))
      .Weight("b2", Shape({4}))
      .Node("MatMul", {"x", "w1"}, "m1")
      .Node("Add", {"b1", "m1"}, "h")
      .Node("Gelu", {"h"}, "a")
      .Node("MatMul", {"a", "w2"}, "m2");
  graph.Node("Add", {"m2", second_bias ? "b2" : "x"}, "y").Output("y");
  return graph.Finish("f", LossKind::kNone, 2).graph;
}

TEST(Shrink, FoldsIntoTheBiasAfterAProductOfStackedRows) {
  Graph graph = FeedForward(true);
  graph.opset = 20;
  ClearSlice(&graph, "w1", 1, 2);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({4, 5}));
  EXPECT_EQ(ShapeOf(model, "b1"), Shape({5}));
  EXPECT_EQ(ShapeOf(model, "w2"), Shape({5, 4}));
}

TEST(Shrink, AConstantStaysWhereThereIsNoBiasToTakeIt) {
  Graph graph = FeedForward(false);
  graph.opset = 20;
  ClearSlice(&graph, "w1", 1, 2);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
  graph.FindInitializer("b1")->value.data<float>()[2] = 0;  // Gelu(0) = 0.
  EXPECT_EQ(ShapeOf(ShrunkAndEqual(graph), "w2"), Shape({5, 4}));
}

// Here one of the layers reads the graph's input.
TEST(Shrink, AWeightThatTwoLayersShareShrinksForBothOrNot) {
  Graph graph = GradientGraph()
                    .Input("x", {kBatch, 4})
                    .Weight("w", Shape({4, 4}))
                    .Weight("v", Shape({4, 4}))
                    .Node("MatMul", {"x", "v"}, "h0")
                    .Node("MatMul", {"h0", "w"}, "h1")
                    .Node("MatMul", {"h1", "w"}, "h2")
                    .Node("MatMul", {"h2", "v"}, "y")
                    .Output("y")
                    .Finish("s", LossKind::kNone, 2)
                    .graph;
  ClearSlice(&graph, "w", 1, 2);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

// ---- Images
// ------------------------------------------------------------------------------------

// conv -> norm -> relu -> conv (padded by `pad`) -> flatten -> linear.
Graph Images(int64_t pad) {
  GradientGraph graph;
  graph.Input("x", {kBatch, 2, 6, 6})
      .Weight("c1", Shape({5, 2, 3, 3}))
      .Weight("b1", Shape({5}))
      .Weight("scale", Shape({5}))
      .Weight("shift", Shape({5}))
      .Statistics("mean", "variance", 5)
      .Weight("c2", Shape({4, 5, 3, 3}), 0.3F)
      .Weight("w", Shape({3, (pad == 0 ? 4 : 16) * 4}), 0.3F)
      .Node("Conv", {"x", "c1", "b1"}, "h1")
      .Node("BatchNormalization", {"h1", "scale", "shift", "mean", "variance"}, "n1")
      .Node("Relu", {"n1"}, "a1")
      .Node("Conv", {"a1", "c2"}, "h2", {List("pads", {pad, pad, pad, pad})})
      .Node("Flatten", {"h2"}, "f")
      .Node("Gemm", {"f", "w"}, "y", {Int("transB", 1)})
      .Output("y");
  return graph.Finish("i", LossKind::kNone, 2).graph;
}

TEST(Shrink, FoldsThroughBatchNormIntoAConvolutionThatGetsABias) {
  Graph graph = Images(0);
  ClearSlice(&graph, "c1", 0, 3);
  graph.FindInitializer("shift")->value.data<float>()[3] = 9;  // Positive after Relu.
  const ShrunkModel model = ShrunkAndEqual(graph);
  for (const char* name : {"b1", "scale", "shift", "mean", "variance"}) {
    EXPECT_EQ(ShapeOf(model, name), Shape({4})) << name;
  }
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({4, 2, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "c2"), Shape({4, 4, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "h2.bias"), Shape({4}));
}

TEST(Shrink, AConstantStaysBeforeAPaddedConvolution) {
  Graph graph = Images(1);
  ClearSlice(&graph, "c1", 0, 3);
  graph.FindInitializer("shift")->value.data<float>()[3] = 9;
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(Shrink, ZeroGoesBeforeAPaddedConvolutionToo) {
  Graph graph = Images(1);
  ClearSlice(&graph, "c1", 0, 3);
  graph.FindInitializer("shift")->value.data<float>()[3] = -9;  // 0 after Relu.
  EXPECT_EQ(ShapeOf(ShrunkAndEqual(graph), "c2"), Shape({4, 4, 3, 3}));
}

TEST(Shrink, AChannelIsManyColumnsAfterFlatten) {
  Graph graph = Images(1);
  ClearSlice(&graph, "c2", 0, 1);
  EXPECT_EQ(ShapeOf(ShrunkAndEqual(graph), "w"), Shape({3, 48}));
  // Columns of a channel that is read elsewhere stay.
  graph = Images(1);
  ClearSlice(&graph, "w", 1, 20);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
}

TEST(Shrink, ReshapeToTheRestFlattensToo) {
  Graph graph = Images(1);
  for (Node& node : graph.nodes) {
    if (node.op_type != "Flatten") continue;
    node.op_type = "Reshape";
    node.inputs.push_back("to");
  }
  graph.initializers.push_back({"to", Tensor::FromVector<int64_t>(Shape({2}), {0, -1}), ""});
  ClearSlice(&graph, "c2", 0, 1);
  EXPECT_EQ(ShapeOf(ShrunkAndEqual(graph), "w"), Shape({3, 48}));
  // A number of columns that the file writes becomes another.
  graph.FindInitializer("to")->value.data<int64_t>()[1] = 64;
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "w"), Shape({3, 48}));
  EXPECT_EQ(model.graph.FindInitializer("to")->value.data<int64_t>()[1], 48);
}

TEST(Shrink, DepthwiseChannelsGoAndTheirGroupsWithThem) {
  Graph graph = GradientGraph()
                    .Input("x", {kBatch, 2, 5, 5})
                    .Weight("c1", Shape({6, 2, 1, 1}))
                    .Weight("d", Shape({6, 1, 3, 3}))
                    .Weight("c2", Shape({3, 6, 1, 1}))
                    .Node("Conv", {"x", "c1"}, "h1")
                    .Node("Relu", {"h1"}, "a1")
                    .Node("Conv", {"a1", "d"}, "h2", {Int("group", 6)})
                    .Node("Relu", {"h2"}, "a2")
                    .Node("Conv", {"a2", "c2"}, "h3")
                    .Node("GlobalAveragePool", {"h3"}, "y")
                    .Output("y")
                    .Finish("d", LossKind::kNone, 2)
                    .graph;
  ClearSlice(&graph, "d", 0, 2);
  ClearSlice(&graph, "c2", 1, 4);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({4, 2, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "d"), Shape({4, 1, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "c2"), Shape({3, 4, 1, 1}));
}

TEST(Shrink, AGroupOfAConvolutionGoesAsAWhole) {
  const auto build = [] {
    return GradientGraph()
        .Input("x", {kBatch, 2, 5, 5})
        .Weight("c1", Shape({6, 2, 1, 1}))
        .Weight("g", Shape({9, 2, 3, 3}))
        .Weight("c2", Shape({3, 9, 1, 1}))
        .Node("Conv", {"x", "c1"}, "h1")
        .Node("Conv", {"h1", "g"}, "h2", {Int("group", 3)})
        .Node("Conv", {"h2", "c2"}, "h3")
        .Node("GlobalAveragePool", {"h3"}, "y")
        .Output("y")
        .Finish("g", LossKind::kNone, 2)
        .graph;
  };
  Graph graph = build();
  for (const int64_t channel : {3, 4}) ClearSlice(&graph, "c2", 1, channel);
  EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty());
  ClearSlice(&graph, "c2", 1, 5);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({4, 2, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "g"), Shape({6, 2, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "c2"), Shape({3, 6, 1, 1}));
}

// Channels of a convolution whose weights or bias are computed stay, while others go.
TEST(Shrink, AGroupedConvolutionWithAComputedBiasStays) {
  Graph graph = GradientGraph()
                    .Input("x", {kBatch, 4, 5, 5})
                    .Weight("c1", Shape({6, 4, 1, 1}))
                    .Weight("c2", Shape({4, 6, 1, 1}))
                    .Weight("g", Shape({6, 2, 1, 1}))
                    .Weight("a", Shape({6}))
                    .Weight("b", Shape({6}))
                    .Node("Conv", {"x", "c1"}, "h1")
                    .Node("Conv", {"h1", "c2"}, "h2")
                    .Node("Add", {"a", "b"}, "bias")
                    .Node("Conv", {"h2", "g", "bias"}, "h3", {Int("group", 2)})
                    .Node("GlobalAveragePool", {"h3"}, "y")
                    .Output("y")
                    .Finish("g", LossKind::kNone, 2)
                    .graph;
  ClearSlice(&graph, "c2", 1, 3);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({5, 4, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "g"), Shape({6, 2, 1, 1}));
}

// ---- Networks with branches
// --------------------------------------------------------------------

TEST(Shrink, ResidualSumsGiveUpAChannelTogetherOrNotAtAll) {
  Graph graph = ResidualNetwork(8, kShrinkExamples).graph;
  // The channel of the sum h0 + n2 of the first block, and what is left of it: not the other term.
  ClearSlice(&graph, "b1.n2.scale", 0, 5);
  ClearSlice(&graph, "b1.n2.bias", 0, 5);
  const ShrunkModel alone = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(alone, "stem.w")[0], 8);
  ClearSlice(&graph, "norm.scale", 0, 5);
  ClearSlice(&graph, "norm.bias", 0, 5);
  const ShrunkModel both = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(both, "stem.w"), Shape({7, 3, 3, 3}));
  EXPECT_EQ(ShapeOf(both, "b1.c1.w"), Shape({8, 7, 3, 3}));
  EXPECT_EQ(ShapeOf(both, "b1.c2.w"), Shape({7, 8, 3, 3}));
}

// The constant summand of each has an extent that the other one has not.
TEST(Shrink, AConstantSummandStaysThatGivesTheSumItsShape) {
  Graph graph = GradientGraph()
                    .Input("x", {kBatch, 3, 5, 5})
                    .Input("t", {kBatch, 4})
                    .Weight("c1", Shape({6, 3, 3, 3}))
                    .Weight("w", Shape({6, 4}))
                    .Weight("c2", Shape({2, 6, 3, 3}))
                    .Ints("places", {0, 6, 1, 1})
                    .Node("Conv", {"x", "c1"}, "v")
                    .Node("Gemm", {"t", "w"}, "e", {Int("transB", 1)})
                    .Node("Reshape", {"e", "places"}, "film")
                    .Node("Add", {"v", "film"}, "s")
                    .Node("Conv", {"s", "c2"}, "y")
                    .Output("y")
                    .Finish("f", LossKind::kNone, 2)
                    .graph;
  for (int64_t i = 0; i < 6; ++i) ClearSlice(&graph, "c1", 0, i);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({6, 3, 3, 3}));
}

// Channels emptied at random, by their makers or their readers, in networks of every kind of join.
TEST(Shrink, RandomlyEmptiedNetworksComputeTheSame) {
  Random random(11, kStreamTest, 0);
  int shrunk = 0;
  for (int round = 0; round < 24; ++round) {
    Graph graph = round % 2 == 0 ? ResidualNetwork(8, kShrinkExamples).graph
                                 : BranchedNetwork(kShrinkExamples).graph;
    for (const Initializer& initializer : graph.initializers) {
      if (initializer.value.dtype() != DType::kFloat32) continue;
      const Shape& shape = initializer.value.shape();
      for (int axis = 0; axis < std::min(shape.rank(), 2); ++axis) {
        for (int64_t i = 0; i < shape[axis]; ++i) {
          if (random.Below(4) == 0) ClearSlice(&graph, initializer.name, axis, i);
        }
      }
    }
    shrunk += ShrunkAndEqual(graph).tensors.empty() ? 0 : 1;
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(shrunk, 20);
}

// Legal in a file, if of no use.
TEST(Shrink, LayersWithoutChannelsDoNoHarm) {
  for (const Shape& shape : {Shape({0, 2, 1, 1}), Shape({4, 2, 1, 1})}) {
    const Graph graph = GradientGraph()
                            .Input("x", {kBatch, 2, 3, 3})
                            .Constant("c", Tensor(DType::kFloat32, shape))
                            .Constant("w", Tensor(DType::kFloat32, Shape({shape[0] * 9, 2})))
                            .Node("Conv", {"x", "c"}, "h")
                            .Node("Flatten", {"h"}, "f")
                            .Node("Gemm", {"f", "w"}, "y")
                            .Output("y")
                            .Finish("e", LossKind::kNone, 2)
                            .graph;
    Shrink(graph, InputShapesForBatch(graph, kShrinkExamples).value()).IgnoreError();
  }
}

TEST(Shrink, ChannelsThatAreNormalizedOverStay) {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    Graph graph = Perceptron(op);
    ClearSlice(&graph, "w2", 1, 2);
    EXPECT_THAT(ShrunkAndEqual(graph).tensors, IsEmpty()) << op;
  }
}

TEST(Shrink, ColumnsOfAnEmbeddingGo) {
  Graph graph = GradientGraph()
                    .Input("ids", {kBatch, 4}, DType::kInt64)
                    .Weight("table", Shape({7, 6}))
                    .Weight("w", Shape({6, 2}))
                    .Node("Gather", {"table", "ids"}, "e")
                    .Node("MatMul", {"e", "w"}, "y")
                    .Output("y")
                    .Finish("e", LossKind::kNone, 2)
                    .graph;
  ClearSlice(&graph, "w", 0, 1);
  ClearSlice(&graph, "table", 1, 4);
  const ShrunkModel model = ShrunkAndEqual(graph);
  EXPECT_EQ(ShapeOf(model, "table"), Shape({7, 4}));
  EXPECT_EQ(ShapeOf(model, "w"), Shape({4, 2}));
}

}  // namespace
}  // namespace topiary
