#include "worker/model/weight_operands.h"

#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = GraphBuilder::kBatch;

WeightOperands OperandsOf(const Graph& graph) {
  const auto inferred = InferShapes(graph, InputShapesForBatch(graph, 2).value());
  EXPECT_OK(inferred.status());
  return WeightOperands(graph, *inferred);
}

TEST(WeightOperands, KnowWhichAxisALayerReads) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4})
                          .Weight("w", {4, 4})
                          .Node("Transpose", {"w"}, {"t"}, {List("perm", {1, 0})})
                          .Node("MatMul", {"x", "w"}, {"a"})
                          .Node("MatMul", {"a", "t"}, {"b"})
                          .Node("Gemm", {"b", "w"}, {"c"}, {Int("transB", 1)})
                          .Node("Gemm", {"c", "t"}, {"d"}, {Int("transB", 1)})
                          .Output("d")
                          .Build();
  const WeightOperands operands = OperandsOf(graph);
  EXPECT_EQ(operands.Behind("t"), "w");
  EXPECT_EQ(operands.Behind("w"), "w");
  EXPECT_EQ(operands.Behind("x"), "");
  EXPECT_TRUE(operands.IsTransposition("t"));
  EXPECT_FALSE(operands.Of(graph.nodes[0]).has_value());
  const int in_axes[] = {0, 1, 1, 0};
  for (int i = 0; i < 4; ++i) {
    const auto operand = operands.Of(graph.nodes[i + 1]);
    ASSERT_TRUE(operand.has_value()) << i;
    EXPECT_EQ(operand->weight, "w") << i;
    EXPECT_EQ(operand->in_axis, in_axes[i]) << i;
    EXPECT_EQ(operand->out_axis, 1 - in_axes[i]) << i;
  }
}

TEST(WeightOperands, StacksOfMatricesAndProductsOfValuesAreNone) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 4, 4})
                          .Weight("stack", {2, 4, 4})
                          .Node("MatMul", {"x", "x"}, {"a"})
                          .Node("MatMul", {"a", "stack"}, {"b"})
                          .Output("b")
                          .Build();
  const WeightOperands operands = OperandsOf(graph);
  for (const Node& node : graph.nodes) EXPECT_FALSE(operands.Of(node).has_value());
}

}  // namespace
}  // namespace topiary
