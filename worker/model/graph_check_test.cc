#include "worker/model/graph_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

struct Malformed {
  const char* name;
  std::function<void(GraphBuilder&)> build;
  const char* message;
};

class MalformedGraphs : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedGraphs, AreRefusedByName) {
  GraphBuilder builder;
  GetParam().build(builder);
  EXPECT_THAT(CheckGraph(builder.Build()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    GraphCheck, MalformedGraphs,
    testing::Values(
        Malformed{"MissingInput",
                  [](GraphBuilder& b) { b.Node("Relu", {"x"}, {"y"}, {}, "act").Output("y"); },
                  "Relu node 'act' reads 'x'"},
        Malformed{"Cycle",
                  [](GraphBuilder& b) {
                    b.Input("x", {1})
                        .Node("Add", {"x", "b"}, {"a"}, {}, "first")
                        .Node("Relu", {"a"}, {"b"}, {}, "second")
                        .Output("b");
                  },
                  "cycle: Add node 'first' reads 'b' of Relu node 'second'"},
        Malformed{"WrongOrder",
                  [](GraphBuilder& b) {
                    b.Input("x", {1})
                        .Node("Relu", {"a"}, {"b"}, {}, "late")
                        .Node("Relu", {"x"}, {"a"}, {}, "early")
                        .Output("b");
                  },
                  "topological order: Relu node 'late'"},
        Malformed{"SelfLoop", [](GraphBuilder& b) { b.Node("Relu", {"a"}, {"a"}).Output("a"); },
                  "cycle"},
        Malformed{"TwoProducers",
                  [](GraphBuilder& b) {
                    b.Input("x", {1})
                        .Node("Relu", {"x"}, {"y"}, {}, "one")
                        .Node("Tanh", {"x"}, {"y"}, {}, "two")
                        .Output("y");
                  },
                  "'y' is produced twice: by Relu node 'one' and by Tanh node 'two'"},
        Malformed{"InputAndInitializer",
                  [](GraphBuilder& b) { b.Input("x", {1}).Weight("x", {1}).Output("x"); },
                  "'x' is produced twice"},
        Malformed{"NoOutputs",
                  [](GraphBuilder& b) { b.Input("x", {1}).Node("Relu", {"x"}, {"y"}); },
                  "no outputs"},
        Malformed{"OutputOfNothing", [](GraphBuilder& b) { b.Input("x", {1}).Output("z"); },
                  "output 'z' is produced by nothing"},
        Malformed{"OutputTwice", [](GraphBuilder& b) { b.Input("x", {1}).Output("x").Output("x"); },
                  "'x' is listed twice"},
        Malformed{"NodeWithoutOutput",
                  [](GraphBuilder& b) {
                    b.Input("x", {1}).Node("Relu", {"x"}, {""}, {}, "dead").Output("x");
                  },
                  "Relu node 'dead' has no output"},
        Malformed{"NamelessInitializer",
                  [](GraphBuilder& b) { b.Input("x", {1}).Weight("", {1}).Output("x"); },
                  "no name"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(GraphCheck, OptionalOperandsMayBeLeftOut) {
  const Graph graph = GraphBuilder()
                          .Input("x", {1})
                          .Weight("max", Shape())
                          .Node("Clip", {"x", "", "max"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_OK(CheckGraph(graph));
}

}  // namespace
}  // namespace topiary
