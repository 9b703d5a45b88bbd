#include "worker/features/fresh_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr int64_t kBatch = GraphBuilder::kBatch;

Graph Network() {
  return GraphBuilder()
      .Input("x", {kBatch, 40})
      .Input("id", {kBatch}, DType::kInt64)
      .Weight("table", {9, 4})
      .Weight("bn.scale", {44})
      .Weight("bn.bias", {44})
      .Weight("bn.mean", {44})
      .Weight("bn.var", {44})
      .Weight("w1", {60, 44})
      .Weight("b1", {60})
      .Weight("w2", {60, 3})
      .Weight("b2", {3})
      .Weight("odd", {3})
      .Node("Gather", {"table", "id"}, {"e"})
      .Node("Concat", {"x", "e"}, {"all"}, {Int("axis", 1)})
      .Node("BatchNormalization", {"all", "bn.scale", "bn.bias", "bn.mean", "bn.var"}, {"n"})
      .Node("Gemm", {"n", "w1", "b1"}, {"h"}, {Int("transB", 1)})
      .Node("Relu", {"h"}, {"r"})
      .Node("MatMul", {"r", "w2"}, {"m"})
      .Node("Add", {"m", "b2"}, {"s"})
      .Node("Mul", {"s", "odd"}, {"y"})
      .Output("y")
      .Build();
}

std::vector<float> Values(const Graph& graph, const std::string& name) {
  const absl::Span<const float> values = graph.FindInitializer(name)->value.span<float>();
  return {values.begin(), values.end()};
}

// Uniform in [-bound, bound]: to the bound nearly, with its variance.
void ExpectUniform(const std::vector<float>& values, double bound) {
  double squares = 0, largest = 0;
  for (const float value : values) {
    squares += double{value} * value;
    largest = std::max(largest, std::fabs(double{value}));
  }
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 0.85 * bound);
  EXPECT_NEAR(squares / static_cast<double>(values.size()), bound * bound / 3, 0.1 * bound * bound);
}

TEST(DrawFreshWeights, StartsEachKindOfParameterAsItIsUsual) {
  Graph graph = Network();
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> kept, DrawFreshWeights(1, &graph));
  ExpectUniform(Values(graph, "w1"), std::sqrt(6.0 / 104));
  ExpectUniform(Values(graph, "w2"), std::sqrt(6.0 / 63));
  ExpectUniform(Values(graph, "table"), 0.05);
  EXPECT_THAT(Values(graph, "b1"), Each(0));
  EXPECT_THAT(Values(graph, "b2"), Each(0));
  EXPECT_THAT(Values(graph, "bn.scale"), Each(1));
  EXPECT_THAT(Values(graph, "bn.bias"), Each(0));
  EXPECT_THAT(Values(graph, "bn.mean"), Each(0));
  EXPECT_THAT(Values(graph, "bn.var"), Each(1));
  EXPECT_THAT(kept, ElementsAre("odd"));
  EXPECT_EQ(Values(graph, "odd"), Values(Network(), "odd"));
}

TEST(DrawFreshWeights, DependsOnTheSeedAlone) {
  Graph first = Network(), second = Network(), other = Network();
  for (float& value : second.FindInitializer("w1")->value.span<float>()) value = 7;
  ASSERT_OK(DrawFreshWeights(1, &first).status());
  ASSERT_OK(DrawFreshWeights(1, &second).status());
  ASSERT_OK(DrawFreshWeights(2, &other).status());
  EXPECT_EQ(Values(first, "w1"), Values(second, "w1"));
  EXPECT_NE(Values(first, "w1"), Values(other, "w1"));
}

// One that an Add adds to each position of a sequence, and one of the positions.
TEST(DrawFreshWeights, AMatrixThatIsAddedToALayerIsNoBias) {
  Graph graph = GraphBuilder()
                    .Input("x", {kBatch, 3, 4})
                    .Weight("w", {4, 5})
                    .Weight("b", {1, 1, 5})
                    .Weight("positions", {3, 5})
                    .Node("MatMul", {"x", "w"}, {"m"})
                    .Node("Add", {"b", "m"}, {"s"})
                    .Node("MatMul", {"x", "w"}, {"again"})
                    .Node("Add", {"again", "positions"}, {"p"})
                    .Node("Add", {"s", "p"}, {"y"})
                    .Output("y")
                    .Build();
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> kept, DrawFreshWeights(1, &graph));
  EXPECT_THAT(Values(graph, "b"), Each(0));
  EXPECT_THAT(kept, ElementsAre("positions"));
}

TEST(DrawFreshWeights, CountsTheElementsOfAKernelAmongTheFans) {
  Graph graph = GraphBuilder()
                    .Input("x", {kBatch, 4, 6, 6})
                    .Weight("w", {8, 4, 3, 3})
                    .Node("Conv", {"x", "w"}, {"y"}, {List("kernel_shape", {3, 3})})
                    .Output("y")
                    .Build();
  ASSERT_OK(DrawFreshWeights(1, &graph).status());
  ExpectUniform(Values(graph, "w"), std::sqrt(6.0 / (9 * 12)));
}

}  // namespace
}  // namespace topiary
