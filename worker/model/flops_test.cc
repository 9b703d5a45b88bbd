#include "worker/model/flops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(CountFlops, AGemmAddsUpItsInputsForEachOutput) {
  const Graph graph = GraphBuilder()
                          .Input("x", {GraphBuilder::kBatch, 4})
                          .Weight("w", {3, 4})
                          .Node("Gemm", {"x", "w"}, {"y"}, {Int("transB", 1)})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const Flops flops, CountFlops(graph));
  EXPECT_EQ(flops.total, 2 * 3 * 4);
  EXPECT_THAT(flops.per_element, ElementsAre(Pair("w", 2)));
}

TEST(CountFlops, AConvolutionUsesEachWeightAtEachPosition) {
  const Graph graph =
      GraphBuilder()
          .Input("x", {GraphBuilder::kBatch, 4, 10, 8})
          .Weight("w", {6, 2, 3, 3})
          .Node("Conv", {"x", "w"}, {"y"}, {Int("group", 2), List("strides", {2, 1})})
          .Output("y")
          .Build();
  ASSERT_OK_AND_ASSIGN(const Flops flops, CountFlops(graph));
  // 4 x 6 positions, 6 channels out, 2 x 3 x 3 products for each.
  EXPECT_EQ(flops.total, 2.0 * 4 * 6 * 6 * 18);
  EXPECT_THAT(flops.per_element, ElementsAre(Pair("w", 2 * 4 * 6)));
}

TEST(CountFlops, ProductsOfActivationsCountAndHaveNoWeight) {
  const Graph graph = GraphBuilder()
                          .Input("x", {GraphBuilder::kBatch, 5, 7})
                          .Input("z", {GraphBuilder::kBatch, 7, 5})
                          .Node("MatMul", {"x", "z"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const Flops flops, CountFlops(graph));
  EXPECT_EQ(flops.total, 2 * 5 * 5 * 7);
  EXPECT_THAT(flops.per_element, IsEmpty());
}

TEST(CountFlops, AWeightOfSeveralNodesIsWorthWhatAllDo) {
  const Graph graph = GraphBuilder()
                          .Input("x", {GraphBuilder::kBatch, 9, 4})
                          .Weight("w", {4, 4})
                          .Node("MatMul", {"x", "w"}, {"h"})
                          .Node("Relu", {"h"}, {"r"})
                          .Node("MatMul", {"r", "w"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const Flops flops, CountFlops(graph));
  EXPECT_EQ(flops.total, 2 * 2 * 9 * 4 * 4);
  EXPECT_THAT(flops.per_element, ElementsAre(Pair("w", 2 * 2 * 9)));
}

TEST(CountFlops, WhatNoOutputDependsOnIsFree) {
  const Graph graph = GraphBuilder()
                          .Input("x", {GraphBuilder::kBatch, 4})
                          .Weight("w", {4, 4})
                          .Weight("unused", {4, 4})
                          .Node("MatMul", {"x", "unused"}, {"z"})
                          .Node("MatMul", {"x", "w"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const Flops flops, CountFlops(graph));
  EXPECT_EQ(flops.total, 2 * 16);
  EXPECT_EQ(flops.per_element.at("unused"), 0);
}

}  // namespace
}  // namespace topiary
