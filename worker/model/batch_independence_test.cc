#include "worker/model/batch_independence.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = GraphBuilder::kBatch;
constexpr int64_t kExamples = 6;

absl::StatusOr<InferredGraph> InferredFor(const Graph& graph, int64_t batch) {
  const auto shapes = InputShapesForBatch(graph, batch);
  EXPECT_OK(shapes.status());
  return InferShapes(graph, *shapes);
}

// In parts of two examples.
bool Independent(const Graph& graph) {
  const auto whole = InferredFor(graph, kExamples), part = InferredFor(graph, 2);
  EXPECT_OK(whole.status());
  return whole.ok() && part.ok() && ExamplesAreIndependent(graph, {*whole, kExamples}, {*part, 2});
}

// A node on x [batch, 4, 6] (and others), whose result is the output.
bool NodeIsIndependent(const std::string& op_type, const std::vector<std::string>& inputs,
                       const std::vector<Attribute>& attributes = {}) {
  return Independent(GraphBuilder()
                         .Input("x", {kBatch, 4, 6})
                         .Input("z", {kBatch, 4, 6})
                         .Input("ids", {kBatch, 4}, DType::kInt64)
                         .Weight("matrix", {6, 6})
                         .Weight("row", {6})
                         .Weight("stack", {kExamples, 4, 6})
                         .Weight("one", {1, 4, 6})
                         .Ints("whole", {0, -1})
                         .Ints("split", {2, 3, 24})
                         .Ints("chosen", {0, 2})
                         .Node(op_type, inputs, {"y"}, attributes)
                         .Output("y")
                         .Build());
}

TEST(BatchIndependence, OfNodesThatStayWithinAnExample) {
  EXPECT_TRUE(NodeIsIndependent("Relu", {"x"}));
  EXPECT_TRUE(NodeIsIndependent("Add", {"x", "z"}));
  EXPECT_TRUE(NodeIsIndependent("Mul", {"row", "x"}));
  EXPECT_TRUE(NodeIsIndependent("Sub", {"x", "one"}));
  EXPECT_TRUE(NodeIsIndependent("MatMul", {"x", "matrix"}));
  EXPECT_TRUE(NodeIsIndependent("Softmax", {"x"}, {Int("axis", 1)}));
  EXPECT_TRUE(NodeIsIndependent("Concat", {"x", "z"}, {Int("axis", 2)}));
  EXPECT_TRUE(NodeIsIndependent("Transpose", {"x"}, {List("perm", {0, 2, 1})}));
  EXPECT_TRUE(NodeIsIndependent("Reshape", {"x", "whole"}));
  EXPECT_TRUE(NodeIsIndependent("Flatten", {"x"}));
  EXPECT_TRUE(NodeIsIndependent("LayerNormalization", {"x", "row"}));
  EXPECT_TRUE(NodeIsIndependent("Gather", {"matrix", "ids"}));
  EXPECT_TRUE(NodeIsIndependent("Gather", {"x", "chosen"}, {Int("axis", 1)}));
}

TEST(BatchIndependence, NotOfNodesThatMixThem) {
  EXPECT_FALSE(NodeIsIndependent("Add", {"x", "stack"}));  // A number for each example.
  EXPECT_FALSE(NodeIsIndependent("MatMul", {"stack", "matrix"}));
  EXPECT_FALSE(NodeIsIndependent("Softmax", {"x"}, {Int("axis", 0)}));
  EXPECT_FALSE(NodeIsIndependent("Concat", {"x", "z"}, {Int("axis", 0)}));
  EXPECT_FALSE(NodeIsIndependent("Concat", {"x", "stack"}, {Int("axis", 1)}));
  EXPECT_FALSE(NodeIsIndependent("Transpose", {"x"}, {List("perm", {1, 0, 2})}));
  EXPECT_FALSE(NodeIsIndependent("Transpose", {"x"}, {List("perm", {2, 1, 0})}));  // As long.
  EXPECT_FALSE(NodeIsIndependent("Reshape", {"x", "split"}));
  EXPECT_FALSE(NodeIsIndependent("Flatten", {"x"}, {Int("axis", 0)}));
  EXPECT_FALSE(NodeIsIndependent("LayerNormalization", {"x", "stack"}, {Int("axis", 0)}));
  EXPECT_FALSE(NodeIsIndependent("Gather", {"x", "chosen"}, {Int("axis", 0)}));
}

TEST(BatchIndependence, OfProductsOfTwoActivations) {
  const auto product = [](const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    return Independent(GraphBuilder()
                           .Input("a", a)
                           .Input("b", b)
                           .Node("MatMul", {"a", "b"}, {"y"})
                           .Output("y")
                           .Build());
  };
  EXPECT_TRUE(product({kBatch, 2, 3, 4}, {kBatch, 2, 4, 5}));
  EXPECT_FALSE(product({kBatch, 3}, {kBatch, 3, 5}));       // A matrix of all examples.
  EXPECT_FALSE(product({kBatch, kExamples}, {kBatch, 5}));  // Sums over the examples.
}

// As exporters write a linear layer.
TEST(BatchIndependence, OfWeightsThatAreTransposedFirst) {
  const auto product = [](const std::vector<int64_t>& weight) {
    return Independent(GraphBuilder()
                           .Input("x", {kBatch, 5, 4})
                           .Weight("w", Shape(absl::MakeConstSpan(weight)))
                           .Node("Transpose", {"w"}, {"t"})
                           .Node("MatMul", {"x", "t"}, {"y"})
                           .Output("y")
                           .Build());
  };
  EXPECT_TRUE(product({3, 4}));
  EXPECT_FALSE(product({3, 4, kExamples}));  // A matrix for each example.
}

// Of the right shape for the whole batch, and of another for a part.
TEST(BatchIndependence, NotOfAReshapeThatNamesTheBatch) {
  EXPECT_FALSE(Independent(GraphBuilder()
                               .Input("x", {kBatch, 4, 6})
                               .Ints("target", {kExamples, -1})
                               .Node("Reshape", {"x", "target"}, {"y"})
                               .Output("y")
                               .Build()));
}

TEST(BatchIndependence, NotOfNumbersThatCountTheBatch) {
  const auto divided_by = [](int64_t axis) {
    return Independent(GraphBuilder()
                           .Input("x", {kBatch, 4})
                           .Weight("axis", Tensor::Scalar(axis))
                           .Node("Shape", {"x"}, {"shape"})
                           .Node("Gather", {"shape", "axis"}, {"extent"})
                           .Node("Cast", {"extent"}, {"divisor"}, {Int("to", 1)})
                           .Node("Div", {"x", "divisor"}, {"y"})
                           .Output("y")
                           .Build());
  };
  EXPECT_TRUE(divided_by(1));
  EXPECT_FALSE(divided_by(0));
}

TEST(BatchIndependence, NotOfGemmThatSumsOverExamples) {
  const auto gemm = [](int64_t trans_a) {
    return Independent(GraphBuilder()
                           .Input("x", {kBatch, kExamples})
                           .Weight("w", {kExamples, 3})
                           .Node("Gemm", {"x", "w"}, {"y"}, {Int("transA", trans_a)})
                           .Output("y")
                           .Build());
  };
  EXPECT_TRUE(gemm(0));
  EXPECT_FALSE(gemm(1));
}

TEST(BatchIndependence, NotOfAnOutputThatIsTheSameForAll) {
  EXPECT_FALSE(Independent(GraphBuilder()
                               .Input("x", {kBatch, 4})
                               .Weight("w", {kExamples, 4})
                               .Node("Relu", {"x"}, {"y"})
                               .Node("Relu", {"w"}, {"v"})
                               .Output("y")
                               .Output("v")
                               .Build()));
}

}  // namespace
}  // namespace topiary
