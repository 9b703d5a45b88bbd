#include "worker/prune/group_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kBatch = GraphBuilder::kBatch;

PruningTarget Target(Structure structure) {
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = structure;
  return target;
}

// All weights are trained.
absl::StatusOr<std::vector<GroupChoice>> Choose(const Graph& graph, const PruningTarget& target) {
  std::set<std::string> trainable;
  for (const Initializer& initializer : graph.initializers) trainable.insert(initializer.name);
  return ChooseGroups(graph, trainable, target);
}

std::vector<std::string> WeightsOf(absl::Span<const CandidatePart> parts) {
  std::vector<std::string> weights;
  for (const CandidatePart& part : parts) weights.push_back(part.weight);
  return weights;
}

// Elements of candidate `candidate`.
int64_t ElementsOf(const CandidatePart& part, int candidate) {
  int64_t count = 0;
  for (const BlockRun& run : part.runs) count += run.block == candidate ? run.length : 0;
  return count;
}

// A table of 5 ids, 3 wide, for two fields beside 4 numbers; 8 hidden units, 3 of a second layer.
Graph ClickModel() {
  return GraphBuilder()
      .Input("from", {kBatch}, DType::kInt64)
      .Input("to", {kBatch}, DType::kInt64)
      .Input("x", {kBatch, 4})
      .Weight("table", Shape({5, 3}))
      .Weight("w1", Shape({8, 10}))
      .Weight("b1", Shape({8}))
      .Weight("w2", Shape({8, 3}))
      .Weight("w3", Shape({1, 3}))
      .Node("Gather", {"table", "from"}, {"row"}, {}, "look_up")
      .Node("Gather", {"table", "to"}, {"other"})
      .Node("Concat", {"x", "row", "other"}, {"all"}, {Int("axis", 1)})
      .Node("Gemm", {"all", "w1", "b1"}, {"h"}, {Int("transB", 1)}, "first")
      .Node("Relu", {"h"}, {"a"})
      .Node("Gemm", {"a", "w2"}, {"g"}, {}, "second")
      .Node("Gemm", {"g", "w3"}, {"y"}, {Int("transB", 1)}, "last")
      .Output("y")
      .Build();
}

TEST(ChooseGroups, NeuronsAreReadByTheNextLayer) {
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(ClickModel(), Target(Structure::kNeurons)));
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].group->name(), "w1");
  EXPECT_EQ(groups[0].group->count(), 8);
  ASSERT_THAT(WeightsOf(groups[0].group->scaled()), ElementsAre("w2"));
  ASSERT_THAT(WeightsOf(groups[0].group->coupled()), ElementsAre("w1"));
  EXPECT_EQ(ElementsOf(groups[0].group->scaled()[0], 5), 3);
  EXPECT_EQ(ElementsOf(groups[0].group->coupled()[0], 5), 10);
  EXPECT_EQ(groups[1].group->count(), 3);
  EXPECT_THAT(WeightsOf(groups[1].group->scaled()), ElementsAre("w3"));
  // The output stays.
  EXPECT_EQ(groups[2].group, nullptr);
  EXPECT_THAT(groups[2].makers, ElementsAre("w3"));
  EXPECT_THAT(groups[2].dense_reason, HasSubstr("must stay"));
}

// A dimension is read by one column for each field.
TEST(ChooseGroups, DimensionsOfATableAreReadOncePerField) {
  ASSERT_OK_AND_ASSIGN(const auto groups,
                       Choose(ClickModel(), Target(Structure::kEmbeddingDimensions)));
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].group->count(), 3);
  ASSERT_THAT(WeightsOf(groups[0].group->scaled()), ElementsAre("w1"));
  EXPECT_EQ(ElementsOf(groups[0].group->scaled()[0], 0), 2 * 8);
  ASSERT_THAT(WeightsOf(groups[0].group->coupled()), ElementsAre("table"));
  EXPECT_EQ(ElementsOf(groups[0].group->coupled()[0], 0), 5);
}

TEST(ChooseGroups, PatternsNameTheLayersThatMakeThem) {
  PruningTarget target = Target(Structure::kNeurons);
  target.include_layers = {"first", "w2"};
  target.exclude_layers = {"sec*"};
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(ClickModel(), target));
  EXPECT_THAT(groups[0].dense_reason, IsEmpty());
  EXPECT_EQ(groups[1].dense_reason, "excluded by name");
  target.include_layers = {"w2"};
  target.exclude_layers.clear();
  EXPECT_EQ(Choose(ClickModel(), target)->at(0).dense_reason, "not included by name");
  target.include_layers = {"table"};
  EXPECT_THAT(Choose(ClickModel(), target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("target.include_layers[0] 'table' matches no")));
}

TEST(ChooseGroups, GroupsOfFewCandidatesStay) {
  PruningTarget target = Target(Structure::kNeurons);
  target.min_candidates = 4;
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(ClickModel(), target));
  EXPECT_THAT(groups[0].dense_reason, IsEmpty());
  EXPECT_EQ(groups[1].dense_reason, "3 candidates, fewer than 4");
  target.min_candidates = 9;
  EXPECT_THAT(Choose(ClickModel(), target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'w1': 8 candidates, fewer than 9; 'w2': 3 candidates")));
}

TEST(ChooseGroups, AModelWithoutTheStructureIsRefused) {
  for (const Structure structure : {Structure::kHeads, Structure::kChannels}) {
    EXPECT_THAT(Choose(ClickModel(), Target(structure)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("target.structure: the ")));
  }
}

TEST(ChooseGroups, WhatAnUntrainedWeightReadsStays) {
  ASSERT_OK_AND_ASSIGN(const auto groups, ChooseGroups(ClickModel(), {"table", "w1", "w3"},
                                                       Target(Structure::kNeurons)));
  EXPECT_EQ(groups[0].dense_reason, "'w2', which reads it, is not trained");
  EXPECT_THAT(groups[1].dense_reason, IsEmpty());
}

// Units read through a matrix and through its transposition belong to two candidates.
TEST(ChooseGroups, AMatrixThatIsReadBothWaysIsNotScaled) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Weight("w0", Shape({3, 4}))
                          .Weight("w", Shape({4, 6}))
                          .Weight("w3", Shape({4, 2}))
                          .Node("Gemm", {"x", "w0"}, {"h0"})
                          .Node("Gemm", {"h0", "w"}, {"h"})
                          .Node("Gemm", {"h", "w"}, {"g"}, {Int("transB", 1)})
                          .Node("Gemm", {"g", "w3"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(
      Choose(graph, Target(Structure::kNeurons)).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'w' is read along both its axes")));
}

// A sum joins the channels of its operands, a grouped convolution those of a group.
TEST(ChooseGroups, ChannelsOfASumAndOfGroupsGoTogether) {
  const std::vector<Attribute> same = {List("pads", {1, 1, 1, 1})};
  std::vector<Attribute> grouped = same;
  grouped.push_back(Int("group", 2));
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3, 5, 5})
                          .Weight("c1", Shape({4, 3, 3, 3}))
                          .Weight("c2", Shape({4, 4, 3, 3}))
                          .Weight("c3", Shape({6, 4, 1, 1}))
                          .Weight("c4", Shape({6, 3, 3, 3}))
                          .Weight("fc", Shape({6, 2}))
                          .Node("Conv", {"x", "c1"}, {"a"}, same)
                          .Node("Conv", {"a", "c2"}, {"b"}, same)
                          .Node("Add", {"a", "b"}, {"s"})
                          .Node("Conv", {"s", "c3"}, {"d"})
                          .Node("Conv", {"d", "c4"}, {"e"}, grouped)
                          .Node("GlobalAveragePool", {"e"}, {"m"})
                          .Node("Flatten", {"m"}, {"f"})
                          .Node("Gemm", {"f", "fc"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(graph, Target(Structure::kChannels)));
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_THAT(groups[0].makers, ElementsAre("c1", "c2"));
  EXPECT_EQ(groups[0].group->count(), 4);
  EXPECT_THAT(WeightsOf(groups[0].group->scaled()), ElementsAre("c2", "c3"));
  EXPECT_THAT(groups[1].makers, ElementsAre("c3", "c4"));
  EXPECT_EQ(groups[1].group->count(), 2);
  ASSERT_THAT(WeightsOf(groups[1].group->scaled()), ElementsAre("fc"));
  EXPECT_EQ(ElementsOf(groups[1].group->scaled()[0], 1), 3 * 2);
  EXPECT_EQ(ElementsOf(groups[1].group->coupled()[1], 1), 3 * 3 * 3 * 3);
}

// Four blocks x + w (v x).
Graph Residual() {
  GraphBuilder builder;
  builder.Input("x0", {kBatch, 4}).Weight("head", Shape({4, 2}));
  std::string x = "x0";
  for (const std::string i : {"1", "2", "3", "4"}) {
    builder.Weight("v" + i, Shape({4, 5}))
        .Weight("w" + i, Shape({5, 4}))
        .Weight("b" + i, Shape({4}))
        .Node("Gemm", {x, "v" + i}, {"h" + i}, {}, "in" + i)
        .Node("Gemm", {"h" + i, "w" + i, "b" + i}, {"f" + i}, {}, "out" + i)
        .Node("Add", {x, "f" + i}, {"x" + i});
    x = "x" + i;
  }
  return builder.Node("Gemm", {x, "head"}, {"y"}).Output("y").Build();
}

TEST(ChooseGroups, BranchesAreOneGroupOfWhichTheEndsStay) {
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(Residual(), Target(Structure::kBranches)));
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].name, "branches");
  EXPECT_THAT(groups[0].dense_reason, IsEmpty());
  EXPECT_THAT(groups[0].group->candidate_names(), ElementsAre("w2", "w3"));
  EXPECT_THAT(WeightsOf(groups[0].group->scaled()), ElementsAre("b2", "w2", "b3", "w3"));
  EXPECT_THAT(WeightsOf(groups[0].group->coupled()), ElementsAre("v2", "w2", "v3", "w3"));
  EXPECT_FALSE(groups[0].group->scaled()[0].counted);
  EXPECT_TRUE(groups[0].group->scaled()[1].counted);
  EXPECT_EQ(groups[1].name, "w1");
  EXPECT_THAT(groups[1].dense_reason, HasSubstr("protect_first"));
  EXPECT_EQ(groups[2].name, "w4");
  EXPECT_THAT(groups[2].dense_reason, HasSubstr("protect_last"));
}

TEST(ChooseGroups, PatternsChooseSingleBranches) {
  PruningTarget target = Target(Structure::kBranches);
  target.protect_first = target.protect_last = 0;
  target.exclude_layers = {"in2"};
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(Residual(), target));
  EXPECT_THAT(groups[0].group->candidate_names(), ElementsAre("w1", "w3", "w4"));
  EXPECT_EQ(groups[1].dense_reason, "excluded by name");
}

TEST(ChooseGroups, ATransformerLayerHasAttention) {
  EXPECT_THAT(Choose(Residual(), Target(Structure::kTransformerLayers)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the model has no transformer_layers")));
}

TEST(ChooseGroups, TablesAndRows) {
  const Graph graph = GraphBuilder()
                          .Input("from", {kBatch}, DType::kInt64)
                          .Input("to", {kBatch}, DType::kInt64)
                          .Weight("table", Shape({5, 3}))
                          .Weight("other", Shape({7, 2}))
                          .Weight("w", Shape({5, 8}))
                          .Node("Gather", {"table", "from"}, {"row"})
                          .Node("Gather", {"other", "to"}, {"column"})
                          .Node("Concat", {"row", "column"}, {"all"}, {Int("axis", 1)})
                          .Node("Gemm", {"all", "w"}, {"y"})
                          .Output("y")
                          .Build();
  ASSERT_OK_AND_ASSIGN(const auto tables, Choose(graph, Target(Structure::kEmbeddingTables)));
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_THAT(tables[0].group->candidate_names(), ElementsAre("table", "other"));
  EXPECT_EQ(ElementsOf(tables[0].group->coupled()[0], 0), 15);
  EXPECT_EQ(ElementsOf(tables[0].group->coupled()[1], 1), 14);
  EXPECT_EQ(ElementsOf(tables[0].group->scaled()[0], 0), 3 * 8);
  ASSERT_OK_AND_ASSIGN(const auto rows, Choose(ClickModel(), Target(Structure::kEmbeddingRows)));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].group->count(), 5);
  EXPECT_EQ(ElementsOf(rows[0].group->scaled()[0], 4), 3);
  EXPECT_THAT(rows[0].group->coupled(), IsEmpty());
}

// Files may have extents of 0.
TEST(ChooseGroups, AWeightWithoutElementsScalesNothing) {
  const Graph empty = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Input("ids", {kBatch}, DType::kInt64)
                          .Weight("table", Shape({5, 0}))
                          .Weight("w1", Shape({3, 4}))
                          .Weight("w2", Shape({4, 0}))
                          .Weight("w3", Shape({0, 2}))
                          .Node("Gemm", {"x", "w1"}, {"h"})
                          .Node("Gemm", {"h", "w2"}, {"g"})
                          .Node("Gather", {"table", "ids"}, {"row"})
                          .Node("Add", {"g", "row"}, {"s"})
                          .Node("Gemm", {"s", "w3"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(Choose(empty, Target(Structure::kNeurons)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'w1': 'w2', which reads it, has no elements")));
  EXPECT_THAT(
      Choose(empty, Target(Structure::kEmbeddingRows)).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'table': it has no elements")));
  const Graph convolutions = GraphBuilder()
                                 .Input("x", {kBatch, 3, 5, 5})
                                 .Weight("c1", Shape({4, 3, 1, 1}))
                                 .Weight("c2", Shape({0, 4, 1, 1}))
                                 .Node("Conv", {"x", "c1"}, {"h"})
                                 .Node("Conv", {"h", "c2"}, {"y"})
                                 .Output("y")
                                 .Build();
  EXPECT_THAT(Choose(convolutions, Target(Structure::kChannels)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("would be pruned")));
  GraphBuilder branches;
  branches.Input("in", {kBatch, 3}).Weight("stem", Shape({3, 0}));
  branches.Node("Gemm", {"in", "stem"}, {"x0"});
  for (const std::string i : {"0", "1", "2", "3"}) {
    branches.Weight("w" + i, Shape({0, 0})).Node("Gemm", {"x" + i, "w" + i}, {"b" + i});
    branches.Node("Add", {"x" + i, "b" + i}, {"x" + std::to_string(std::stoi(i) + 1)});
  }
  EXPECT_THAT(Choose(branches.Output("x4").Build(), Target(Structure::kBranches)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'w1' has no elements")));
}

TEST(ChooseGroups, ASparsityThatRoundsToNoneIsRefused) {
  PruningTarget target = Target(Structure::kNeurons);
  target.sparsity = 0.15;  // Of 8 and of 3.
  ASSERT_OK_AND_ASSIGN(const auto groups, Choose(ClickModel(), target));
  EXPECT_THAT(groups[0].dense_reason, IsEmpty());
  EXPECT_EQ(groups[1].dense_reason, "a sparsity of 0.15 of 3 candidates rounds to none");
  target.sparsity = 0.05;
  EXPECT_THAT(Choose(ClickModel(), target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'w1': a sparsity of 0.05 of 8 candidates rounds to none"),
                             HasSubstr("raise the sparsity"))));
  // They share what 11 of them lose.
  target.sparsity = 0.05;
  target.budget = BudgetKind::kGlobal;
  ASSERT_OK_AND_ASSIGN(const auto shared, Choose(ClickModel(), target));
  EXPECT_THAT(shared[1].dense_reason, IsEmpty());
  target.sparsity = 0.04;
  EXPECT_THAT(Choose(ClickModel(), target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("of 11 candidates rounds")));
}

TEST(ChooseGroups, AnOnlyCandidateStays) {
  PruningTarget target = Target(Structure::kEmbeddingTables);
  target.min_candidates = 1;
  EXPECT_THAT(Choose(ClickModel(), target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("its only candidate stays")));
}

// What a small file can ask for is known before memory is taken.
TEST(ChooseGroups, IsRefusedWhereFindingTakesTooMuchMemory) {
  constexpr int64_t kWide = 1 << 16;
  GraphBuilder wide;
  wide.Input("x", {kBatch, 1}).Weight("w", Shape({1, kWide})).Weight("last", Shape({kWide, 1}));
  wide.Node("Gemm", {"x", "w"}, {"v0"});
  for (int i = 0; i < 100; ++i) {
    wide.Node("Relu", {"v" + std::to_string(i)}, {"v" + std::to_string(i + 1)});
  }
  const Graph graph = wide.Node("Gemm", {"v100", "last"}, {"y"}).Output("y").Build();
  const auto choose = [](const Graph& model, Structure structure, std::optional<int64_t> limit) {
    std::set<std::string> trainable;
    for (const Initializer& initializer : model.initializers) trainable.insert(initializer.name);
    GroupConditions conditions;
    conditions.memory_bytes = limit;
    return ChooseGroups(model, trainable, Target(structure), conditions).status();
  };
  EXPECT_OK(choose(graph, Structure::kNeurons, std::nullopt));
  EXPECT_OK(choose(graph, Structure::kNeurons, int64_t{1} << 30));
  EXPECT_THAT(choose(graph, Structure::kNeurons, 100 << 20),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("finding the neurons"), HasSubstr("memory_bytes"))));
  const Graph table = GraphBuilder()
                          .Input("ids", {kBatch}, DType::kInt64)
                          .Weight("table", Shape({1 << 16, 1}))
                          .Node("Gather", {"table", "ids"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_OK(choose(table, Structure::kEmbeddingRows, 2 << 20));
  EXPECT_THAT(choose(table, Structure::kEmbeddingRows, 1 << 20),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("embedding_rows")));
}

}  // namespace
}  // namespace topiary
