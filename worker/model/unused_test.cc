#include "worker/model/unused.h"

#include <gtest/gtest.h>

#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

Graph WithSpareShape() {
  return GraphBuilder()
      .Input("x", {GraphBuilder::kBatch, 4})
      .Ints("to", {0, -1})
      .Ints("first", {0})
      .Node("Shape", {"x"}, {"shape"})
      .Node("Gather", {"shape", "first"}, {"extent"})
      .Node("Shape", {"x"}, {"never_read"})
      .Node("Reshape", {"x", "to"}, {"y"})
      .Output("y")
      .Build();
}

TEST(Unused, WhatOnlyServedAValueGoesWithIt) {
  Graph graph = WithSpareShape();
  RemoveUnused({"extent"}, &graph);
  ASSERT_EQ(graph.nodes.size(), 2u);
  EXPECT_EQ(graph.nodes[0].output(0), "never_read");
  EXPECT_EQ(graph.nodes[1].output(0), "y");
  EXPECT_EQ(graph.FindInitializer("first"), nullptr);
  EXPECT_NE(graph.FindInitializer("to"), nullptr);
}

TEST(Unused, WhatIsReadStays) {
  Graph graph = WithSpareShape();
  RemoveUnused({"shape", "to", "y", "x", ""}, &graph);
  EXPECT_EQ(graph.nodes.size(), 4u);
  EXPECT_EQ(graph.initializers.size(), 2u);
}

}  // namespace
}  // namespace topiary
