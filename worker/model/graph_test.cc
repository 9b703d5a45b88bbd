#include "worker/model/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr int64_t kBatch = GraphBuilder::kBatch;

TEST(Graph, TheBatchReplacesASymbolicFirstExtent) {
  const Graph graph =
      GraphBuilder().Input("x", {kBatch, 3, 8}).Input("ids", {5}, DType::kInt64).Build();
  ASSERT_OK_AND_ASSIGN(const auto shapes, InputShapesForBatch(graph, 5));
  EXPECT_EQ(shapes.at("x"), Shape({5, 3, 8}));
  EXPECT_EQ(shapes.at("ids"), Shape({5}));
}

TEST(Graph, AFixedBatchAxisThatDiffersIsRefusedWithTheRemedy) {
  const Graph graph = GraphBuilder().Input("x", {1, 3}).Build();
  EXPECT_THAT(InputShapesForBatch(graph, 32),
              StatusIs(kInvalid, AllOf(HasSubstr("'x' [1,3]"), HasSubstr("dynamic first axis"))));
}

TEST(Graph, ASecondSymbolicAxisIsRefused) {
  const Graph graph = GraphBuilder().Input("x", {kBatch, kBatch}).Build();
  EXPECT_THAT(InputShapesForBatch(graph, 2),
              StatusIs(kInvalid, AllOf(HasSubstr("[batch,batch]"), HasSubstr("axis 1"))));
}

TEST(Graph, AnInputWithoutAShapeIsRefused) {
  Graph graph = GraphBuilder().Input("x", {4}).Build();
  graph.inputs[0].has_shape = false;
  EXPECT_THAT(InputShapesForBatch(graph, 2), StatusIs(kInvalid, HasSubstr("declares no shape")));
}

TEST(Graph, AWeightIsReplacedByOneOfTheSameKindOnly) {
  Graph graph = GraphBuilder().Weight("w", {2, 2}).Build();
  EXPECT_OK(graph.ReplaceInitializer("w", Tensor(DType::kFloat32, Shape({2, 2}))));
  EXPECT_EQ(graph.FindInitializer("w")->value.data<float>()[3], 0.0f);
  EXPECT_THAT(graph.ReplaceInitializer("w", Tensor(DType::kFloat32, Shape({4}))),
              StatusIs(kInvalid, AllOf(HasSubstr("[2,2]"), HasSubstr("[4]"))));
  EXPECT_THAT(graph.ReplaceInitializer("w", Tensor(DType::kInt64, Shape({2, 2}))),
              StatusIs(kInvalid));
  EXPECT_THAT(graph.ReplaceInitializer("v", Tensor()), StatusIs(absl::StatusCode::kNotFound));
}

TEST(Graph, WeightsAreFoundByNameWhateverWasRemoved) {
  Graph graph = GraphBuilder().Weight("a", {1}).Weight("b", {2}).Weight("c", {3}).Build();
  graph.initializers.RemoveIf([](const Initializer& i) { return i.name == "a"; });
  EXPECT_EQ(graph.FindInitializer("a"), nullptr);
  EXPECT_EQ(graph.FindInitializer("b"), &graph.initializers[0]);
  EXPECT_EQ(graph.FindInitializer("c")->value.shape(), Shape({3}));
  graph.initializers.push_back({"a", Tensor(DType::kFloat32, Shape({4})), ""});
  EXPECT_EQ(graph.FindInitializer("a")->value.shape(), Shape({4}));
  const Graph moved = std::move(graph);
  EXPECT_EQ(moved.FindInitializer("c"), &moved.initializers[1]);
}

TEST(Graph, ACloneOwnsItsWeights) {
  Graph graph = GraphBuilder().Weight("w", {1}).Node("Relu", {"w"}, {"y"}).Build();
  const Graph copy = graph.Clone();
  graph.FindInitializer("w")->value.data<float>()[0] = 7;
  EXPECT_NE(copy.FindInitializer("w")->value.data<float>()[0], 7);
  EXPECT_EQ(copy.nodes[0].op_type, "Relu");
}

TEST(Graph, ANodeWithoutANameIsLabelledByItsPlaceAndOutput) {
  const Graph graph =
      GraphBuilder().Node("Conv", {}, {"y"}, {}, "stem").Node("Relu", {"y"}, {"z"}).Build();
  EXPECT_EQ(NodeLabel(graph.nodes[0], 0), "Conv node 'stem'");
  EXPECT_EQ(NodeLabel(graph.nodes[1], 1), "Relu node 1 (output 'z')");
}

}  // namespace
}  // namespace topiary
