#include "worker/model/batch_norm_folding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/graph_check.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::FloatNear;

constexpr int64_t kBatch = GraphBuilder::kBatch;

Tensor Vector(const std::vector<float>& values) {
  return Tensor::FromVector(Shape({static_cast<int64_t>(values.size())}), values);
}

// A convolution of two channels with a weight of 1 x 1 from one, and its normalization.
GraphBuilder Normalized(bool has_bias) {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 1, 4, 4});
  builder.Weight("w", Tensor::FromVector(Shape({2, 1, 1, 1}), std::vector<float>{3, 0}));
  builder.Weight("b", Vector({1, 2})).Weight("scale", Vector({2, 4}));
  builder.Weight("shift", Vector({10, 20})).Weight("mean", Vector({5, 6}));
  builder.Weight("variance", Vector({3.5f, 15.5f}));
  builder.Node(
      "Conv",
      has_bias ? std::vector<std::string>{"x", "w", "b"} : std::vector<std::string>{"x", "w"},
      {"c"}, {}, "conv");
  builder.Node("BatchNormalization", {"c", "scale", "shift", "mean", "variance"}, {"n"},
               {Float("epsilon", 0.5f)}, "bn");
  return builder;
}

TEST(BatchNormFolding, TheWeightsAndTheBiasTakeItOver) {
  Graph graph = Normalized(true).Node("Relu", {"n"}, {"y"}).Output("y").Build();
  const Graph folded = FoldBatchNormalization(std::move(graph));
  ASSERT_EQ(folded.nodes.size(), 2u);
  EXPECT_THAT(folded.nodes[0].outputs, ElementsAre("n"));
  EXPECT_EQ(folded.nodes[0].name, "conv");
  // s = 2 / sqrt(3.5 + 0.5) = 1 and 4 / sqrt(15.5 + 0.5) = 1.
  const Tensor& weight = folded.FindInitializer("w")->value;
  EXPECT_THAT(weight.span<float>(), ElementsAre(FloatNear(3, 1e-6f), 0));
  const Initializer* bias = folded.FindInitializer(folded.nodes[0].input(2));
  ASSERT_NE(bias, nullptr);
  EXPECT_THAT(bias->value.span<float>(),
              ElementsAre(FloatNear(1 - 5 + 10, 1e-6f), FloatNear(2 - 6 + 20, 1e-6f)));
  ASSERT_EQ(folded.initializers.size(), 2u);  // Nothing that nobody reads.
  EXPECT_OK(CheckGraph(folded));
}

TEST(BatchNormFolding, AConvolutionWithoutABiasGetsOne) {
  const Graph folded = FoldBatchNormalization(Normalized(false).Output("n").Build());
  ASSERT_EQ(folded.nodes.size(), 1u);
  ASSERT_EQ(folded.nodes[0].inputs.size(), 3u);
  EXPECT_THAT(folded.FindInitializer(folded.nodes[0].input(2))->value.span<float>(),
              ElementsAre(FloatNear(-5 + 10, 1e-6f), FloatNear(-6 + 20, 1e-6f)));
  EXPECT_OK(CheckGraph(folded));
}

TEST(BatchNormFolding, WhatSomebodyElseReadsStays) {
  // The result of the convolution.
  EXPECT_EQ(FoldBatchNormalization(Normalized(true).Output("n").Output("c").Build()).nodes.size(),
            2u);
  // Its weight.
  EXPECT_EQ(FoldBatchNormalization(
                Normalized(true).Node("Conv", {"x", "w"}, {"d"}).Output("n").Output("d").Build())
                .nodes.size(),
            3u);
  // A bias or a statistic is left to the other.
  const Graph folded = FoldBatchNormalization(Normalized(true)
                                                  .Node("Conv", {"x", "v", "b"}, {"d"})
                                                  .Weight("v", Shape({2, 1, 1, 1}))
                                                  .Output("n")
                                                  .Output("d")
                                                  .Build());
  EXPECT_EQ(folded.nodes.size(), 2u);
  EXPECT_NE(folded.FindInitializer("b"), nullptr);
}

// Nothing was checked when a file is folded: what is malformed is left for others to refuse.
TEST(BatchNormFolding, MalformedNodesStay) {
  GraphBuilder no_operands;
  no_operands.Input("x", {kBatch, 2}).Node("Dropout", {"x"}, {"d", ""});
  no_operands.Node("BatchNormalization", {}, {"y"});
  EXPECT_EQ(FoldBatchNormalization(no_operands.Output("y").Build()).nodes.size(), 2u);
  GraphBuilder no_channels;
  no_channels.Input("x", {kBatch, 1, 4, 4})
      .Weight("w", Shape({0, 1, 1, 1}))
      .Weight("s", Shape({0}));
  no_channels.Weight("t", Shape({0})).Weight("m", Shape({0})).Weight("v", Shape({0}));
  no_channels.Node("Conv", {"x", "w"}, {"c"});
  no_channels.Node("BatchNormalization", {"c", "s", "t", "m", "v"}, {"n"});
  EXPECT_EQ(FoldBatchNormalization(no_channels.Output("n").Build()).nodes.size(), 2u);
}

TEST(BatchNormFolding, NormalizationsOfOtherThingsStay) {
  GraphBuilder builder;
  builder.Input("x", {kBatch, 2, 4, 4}).Weight("s", {2});
  builder.Node("BatchNormalization", {"x", "s", "s", "s", "s"}, {"n"});
  EXPECT_EQ(FoldBatchNormalization(builder.Output("n").Build()).nodes.size(), 1u);
}

}  // namespace
}  // namespace topiary
