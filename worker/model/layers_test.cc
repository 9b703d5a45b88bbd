#include "worker/model/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;

// Every element of the weight has exactly one place in the matrices.
void ExpectBijection(const PrunableLayer& layer) {
  std::set<int64_t> seen;
  for (int64_t g = 0; g < layer.groups; ++g) {
    for (int64_t k = 0; k < layer.rows; ++k) {
      for (int64_t n = 0; n < layer.cols; ++n) seen.insert(layer.Offset(g, k, n));
    }
  }
  EXPECT_EQ(static_cast<int64_t>(seen.size()), layer.shape.element_count());
  EXPECT_EQ(*seen.begin(), 0);
  EXPECT_EQ(*seen.rbegin(), layer.shape.element_count() - 1);
}

PrunableLayer Only(const Graph& graph) {
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  EXPECT_EQ(layers.size(), 1u);
  return layers.empty() ? PrunableLayer() : layers[0];
}

TEST(PrunableLayers, AGemmWithTransBStoresOutputsFirst) {
  const PrunableLayer layer = Only(GraphBuilder()
                                       .Weight("w", {3, 4})
                                       .Node("Gemm", {"x", "w"}, {"y"}, {Int("transB", 1)}, "fc")
                                       .Build());
  EXPECT_EQ(layer.weight, "w");
  EXPECT_EQ(layer.node_name, "fc");
  EXPECT_TRUE(layer.transposed);
  EXPECT_EQ(layer.rows, 4);
  EXPECT_EQ(layer.cols, 3);
  EXPECT_EQ(layer.Offset(0, 1, 2), 2 * 4 + 1);
  ExpectBijection(layer);
}

TEST(PrunableLayers, AMatMulOfATransposedWeightStoresOutputsFirst) {
  const PrunableLayer layer = Only(GraphBuilder()
                                       .Weight("w", {3, 4})
                                       .Node("Transpose", {"w"}, {"t"}, {List("perm", {1, 0})})
                                       .Node("MatMul", {"x", "t"}, {"y"}, {}, "fc")
                                       .Build());
  EXPECT_EQ(layer.weight, "w");
  EXPECT_EQ(layer.node_name, "fc");
  EXPECT_TRUE(layer.transposed);
  EXPECT_EQ(layer.rows, 4);
  EXPECT_EQ(layer.cols, 3);
  ExpectBijection(layer);
}

TEST(PrunableLayers, APlainGemmStoresInputsFirst) {
  const PrunableLayer layer =
      Only(GraphBuilder().Weight("w", {4, 3}).Node("Gemm", {"x", "w"}, {"y"}).Build());
  EXPECT_FALSE(layer.transposed);
  EXPECT_EQ(layer.rows, 4);
  EXPECT_EQ(layer.cols, 3);
  EXPECT_EQ(layer.Offset(0, 1, 2), 1 * 3 + 2);
}

TEST(PrunableLayers, AConvolutionsRowsRunOverKernelThenInputChannel) {
  const PrunableLayer layer =
      Only(GraphBuilder().Weight("w", {5, 2, 3, 3}).Node("Conv", {"x", "w"}, {"y"}).Build());
  EXPECT_EQ(layer.kind, LayerKind::kConv);
  EXPECT_EQ(layer.rows, 18);
  EXPECT_EQ(layer.cols, 5);
  // Row (kh=1, kw=2, in=1), output 4: w[4][1][1][2].
  EXPECT_EQ(layer.Offset(0, (1 * 3 + 2) * 2 + 1, 4), 4 * 18 + 1 * 9 + 1 * 3 + 2);
  ExpectBijection(layer);
}

TEST(PrunableLayers, AGroupedConvolutionHasOneMatrixPerGroup) {
  const PrunableLayer layer = Only(GraphBuilder()
                                       .Weight("w", {6, 2, 3})
                                       .Node("Conv", {"x", "w"}, {"y"}, {Int("group", 3)})
                                       .Build());
  EXPECT_EQ(layer.groups, 3);
  EXPECT_EQ(layer.rows, 6);
  EXPECT_EQ(layer.cols, 2);
  EXPECT_EQ(layer.Offset(2, 0, 1), 5 * 6);
  ExpectBijection(layer);
}

TEST(PrunableLayers, AMatMulMayHoldItsWeightOnEitherSide) {
  const PrunableLayer right =
      Only(GraphBuilder().Weight("w", {4, 3}).Node("MatMul", {"x", "w"}, {"y"}).Build());
  EXPECT_EQ(right.rows, 4);
  EXPECT_FALSE(right.transposed);
  const PrunableLayer left =
      Only(GraphBuilder().Weight("w", {3, 4}).Node("MatMul", {"w", "x"}, {"y"}).Build());
  EXPECT_EQ(left.rows, 4);
  EXPECT_EQ(left.cols, 3);
  EXPECT_TRUE(left.transposed);
  ExpectBijection(left);
}

TEST(PrunableLayers, AStackOfMatricesHasOneMatrixEach) {
  const PrunableLayer layer =
      Only(GraphBuilder().Weight("w", {2, 4, 3}).Node("MatMul", {"x", "w"}, {"y"}).Build());
  EXPECT_EQ(layer.groups, 2);
  EXPECT_EQ(layer.Offset(1, 0, 0), 12);
  ExpectBijection(layer);
}

TEST(PrunableLayers, ASharedWeightIsOneLayerSeenAsItsFirstNodeSeesIt) {
  const PrunableLayer layer = Only(GraphBuilder()
                                       .Weight("w", {4, 4})
                                       .Node("Gemm", {"x", "w"}, {"y"}, {Int("transB", 1)})
                                       .Node("Relu", {"y"}, {"z"})
                                       .Node("MatMul", {"z", "w"}, {"u"})
                                       .Build());
  EXPECT_THAT(layer.nodes, ElementsAre(0, 2));
  EXPECT_TRUE(layer.transposed);
  EXPECT_EQ(layer.kind, LayerKind::kGemm);
}

TEST(PrunableLayers, BiasesComputedOperandsAndOtherTypesAreNotSeen) {
  const Graph graph = GraphBuilder()
                          .Weight("b", {3})
                          .Weight("k", Tensor(DType::kInt64, Shape({2, 2})))
                          .Node("Gemm", {"x", "y", "b"}, {"z"})
                          .Node("MatMul", {"z", "k"}, {"u"})
                          .Node("Add", {"u", "b"}, {"v"})
                          .Build();
  EXPECT_TRUE(FindPrunableLayers(graph).empty());
}

}  // namespace
}  // namespace topiary
