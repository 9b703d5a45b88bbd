#include "worker/model/id_limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
constexpr int64_t kBatch = GraphBuilder::kBatch;

TEST(IdLimits, ASequenceHasTheLimitOfItsTable) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 3}, DType::kInt64)
                          .Weight("table", Shape({7, 2}))
                          .Node("Gather", {"table", "ids"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const auto limits, FindIdLimits(graph));
  EXPECT_THAT(limits.at("ids"), ElementsAre(7, 7, 7));
}

// As click models are exported: a table for each column.
TEST(IdLimits, EachColumnHasTheLimitOfItsOwnTable) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 3}, DType::kInt64)
                          .Weight("a", Shape({7, 2}))
                          .Weight("b", Shape({5, 2}))
                          .Node("Constant", {}, {"first"}, {Int("value_int", 0)})
                          .Node("Constant", {}, {"last"}, {Int("value_int", -1)})
                          .Node("Gather", {"ids", "first"}, {"i"}, {Int("axis", 1)})
                          .Node("Gather", {"ids", "last"}, {"j"}, {Int("axis", 1)})
                          .Node("Gather", {"a", "i"}, {"u"})
                          .Node("Gather", {"b", "j"}, {"v"})
                          .Node("Add", {"u", "v"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const auto limits, FindIdLimits(graph));
  EXPECT_THAT(limits.at("ids"), ElementsAre(7, kNone, 5));
}

TEST(IdLimits, TheShortestOfSeveralTablesCounts) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 2}, DType::kInt64)
                          .Weight("a", Shape({7, 2}))
                          .Weight("b", Shape({2, 5}))
                          .Ints("flat", {-1})
                          .Node("Reshape", {"ids", "flat"}, {"row"})
                          .Node("Gather", {"a", "row"}, {"u"})
                          .Node("Gather", {"b", "ids"}, {"v"}, {Int("axis", 1)})
                          .Node("Add", {"u", "v"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const auto limits, FindIdLimits(graph));
  EXPECT_THAT(limits.at("ids"), ElementsAre(5, 5));
}

TEST(IdLimits, MoreIdsThanMemoryHoldsAreRefused) {
  const Graph huge = GraphBuilder()
                         .Input("ids", {kBatch, int64_t{1} << 36}, DType::kInt64)
                         .Weight("table", Shape({7}))
                         .Node("Gather", {"table", "ids"}, {"y"})
                         .Output("y")
                         .Build();
  EXPECT_THAT(FindIdLimits(huge),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("input 'ids'")));
}

TEST(IdLimits, ManyValuesOfIdsAreMoreThanMemoryHoldsToo) {
  GraphBuilder builder;
  builder.Input("ids0", {kBatch, int64_t{1} << 22}, DType::kInt64).Weight("table", Shape({7}));
  for (int i = 0; i < 4; ++i) {
    builder.Node("Identity", {absl::StrCat("ids", i)}, {absl::StrCat("ids", i + 1)});
  }
  builder.Node("Gather", {"table", "ids4"}, {"y"}).Output("y");
  EXPECT_THAT(FindIdLimits(builder.Build()),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("node 3")));
}

TEST(IdLimits, IndicesFromATableAreRefused) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 2}, DType::kInt64)
                          .Ints("map", {3, 1})
                          .Weight("table", Shape({7, 2}))
                          .Node("Gather", {"map", "ids"}, {"mapped"})
                          .Node("Gather", {"ids", "mapped"}, {"i"}, {Int("axis", 1)}, "pick")
                          .Node("Gather", {"table", "i"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(FindIdLimits(graph), StatusIs(absl::StatusCode::kUnimplemented,
                                            AllOf(HasSubstr("pick"), HasSubstr("'mapped'"))));
}

TEST(IdLimits, ConstantIndicesOutsideTheirTableAreRefused) {
  const auto graph = [](int64_t index) {
    return GraphBuilder()
        .Input("x", {kBatch, 2})
        .Weight("table", Shape({7, 2}))
        .Ints("index", {index})
        .Node("Gather", {"table", "index"}, {"row"}, {}, "pick")
        .Node("Add", {"x", "row"}, {"y"})
        .Output("y")
        .Build();
  };
  EXPECT_OK(FindIdLimits(graph(-7)).status());
  EXPECT_OK(FindIdLimits(graph(6)).status());
  for (const int64_t index : {int64_t{-8}, int64_t{7}}) {
    EXPECT_THAT(FindIdLimits(graph(index)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("pick"), HasSubstr("7 rows of 'table'"))));
  }
}

TEST(IdLimits, IdsOfIdsAreRefused) {
  const Graph graph = GraphBuilder()
                          .Input("ids", {kBatch, 2}, DType::kInt64)
                          .Weight("table", Shape({7, 2}))
                          .Node("Gather", {"ids", "ids"}, {"i"}, {Int("axis", 1)}, "twice")
                          .Node("Gather", {"table", "i"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(FindIdLimits(graph), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("twice")));
}

}  // namespace
}  // namespace topiary
