#include "worker/prune/calibrated_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"
#include "worker/prune/group_choice.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kBatch = GraphBuilder::kBatch;

// What a method that needs moments of that kind can prune.
absl::StatusOr<std::vector<GroupChoice>> Choose(const Graph& graph, Structure structure,
                                                MomentKind kind,
                                                std::vector<LayerTarget> layer_targets = {}) {
  std::set<std::string> trainable;
  for (const Initializer& initializer : graph.initializers) trainable.insert(initializer.name);
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = structure;
  target.protect_first = target.protect_last = 0;
  target.layer_targets = std::move(layer_targets);
  GroupConditions conditions;
  conditions.moments = kind;
  return ChooseGroups(graph, trainable, target, conditions);
}

void ExpectTheCandidates(const GroupChoice& choice, int64_t inputs_each) {
  ASSERT_THAT(choice.dense_reason, IsEmpty());
  ASSERT_NE(choice.reader, nullptr);
  const CandidatePart& read = choice.group->scaled()[0];
  EXPECT_EQ(choice.reader->layer().weight, read.weight);
  EXPECT_EQ(choice.reader->block().rows, inputs_each);
  EXPECT_EQ(choice.reader->block_count(), choice.group->count());
  CandidatePart blocks = read;
  blocks.runs = choice.reader->runs()->runs;
  EXPECT_EQ(CandidateOfEach(blocks), CandidateOfEach(read));
}

// 6 channels of 2 x 2 places, 8 hidden units, 3 of a layer after it.
Graph Network() {
  return GraphBuilder()
      .Input("x", {kBatch, 3, 4, 4})
      .Weight("c1", Shape({4, 3, 3, 3}))
      .Weight("c2", Shape({6, 4, 3, 3}))
      .Weight("w1", Shape({8, 24}))
      .Weight("w2", Shape({8, 3}))
      .Weight("w3", Shape({2, 3}))
      .Node("Conv", {"x", "c1"}, {"a"}, {List("pads", {1, 1, 1, 1})})
      .Node("Conv", {"a", "c2"}, {"b"})
      .Node("Flatten", {"b"}, {"f"})
      .Node("Gemm", {"f", "w1"}, {"h"}, {Int("transB", 1)})
      .Node("Gemm", {"h", "w2"}, {"g"})
      .Node("Gemm", {"g", "w3"}, {"y"}, {Int("transB", 1)})
      .Output("y")
      .Build();
}

TEST(CalibratedGroups, HiddenUnitsAreTheInputsOfTheLayerAfterThem) {
  ASSERT_OK_AND_ASSIGN(const auto choices,
                       Choose(Network(), Structure::kNeurons, MomentKind::kFull));
  ASSERT_EQ(choices.size(), 3u);
  ExpectTheCandidates(choices[0], 1);  // By w2, stored [inputs][outputs],
  ExpectTheCandidates(choices[1], 1);  // and w3, [outputs][inputs].
  EXPECT_EQ(choices[2].reader, nullptr);
}

// Channels of which a convolution of 3 x 3 reads nine inputs each, not in a row.
TEST(CalibratedGroups, CandidatesThatAreNoInputsInARowStay) {
  ASSERT_OK_AND_ASSIGN(const auto choices,
                       Choose(Network(), Structure::kChannels, MomentKind::kFull));
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].reader, nullptr);
  EXPECT_THAT(choices[0].dense_reason, HasSubstr("'c2' does not read each candidate"));
  ExpectTheCandidates(choices[1], 4);  // Flattened: four places of a channel, one after another.
  EXPECT_THAT(
      Choose(Network(), Structure::kChannels, MomentKind::kFull, {{"c1", 0.25, 0.75}}).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layer_targets[0] 'c1'")));
}

// Half of what "w" reads are other units.
TEST(CalibratedGroups, UnitsThatShareTheirReaderStay) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Weight("w1", Shape({3, 4}))
                          .Weight("w2", Shape({3, 4}))
                          .Weight("w", Shape({8, 2}))
                          .Node("Gemm", {"x", "w1"}, {"a"})
                          .Node("Gemm", {"x", "w2"}, {"b"})
                          .Node("Concat", {"a", "b"}, {"c"}, {Int("axis", 1)})
                          .Node("Gemm", {"c", "w"}, {"y"})
                          .Output("y")
                          .Build();
  EXPECT_THAT(Choose(graph, Structure::kNeurons, MomentKind::kFull).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("no neurons would be pruned"), HasSubstr("'w1': 'w' does"),
                             HasSubstr("by another method"))));
  EXPECT_OK(Choose(graph, Structure::kNeurons, MomentKind::kDiagonal).status());
}

TEST(CalibratedGroups, UnitsOfSeveralReadersStay) {
  const Graph graph = GraphBuilder()
                          .Input("x", {kBatch, 3})
                          .Weight("w1", Shape({3, 4}))
                          .Weight("w2", Shape({4, 2}))
                          .Weight("w3", Shape({4, 2}))
                          .Node("Gemm", {"x", "w1"}, {"a"})
                          .Node("Gemm", {"a", "w2"}, {"y"})
                          .Node("Gemm", {"a", "w3"}, {"z"})
                          .Output("y")
                          .Output("z")
                          .Build();
  EXPECT_THAT(Choose(graph, Structure::kNeurons, MomentKind::kFull).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'w1': 2 weights read the candidates")));
  EXPECT_OK(Choose(graph, Structure::kNeurons, MomentKind::kDiagonal).status());
}

// Convolutions will do, columns of tables too, but not rows, which nothing is multiplied with.
TEST(CalibratedGroups, TheDiagonalWillDoForAnyMatrix) {
  ASSERT_OK_AND_ASSIGN(const auto channels,
                       Choose(Network(), Structure::kChannels, MomentKind::kDiagonal));
  EXPECT_THAT(channels[0].dense_reason, IsEmpty());
  EXPECT_EQ(channels[0].reader, nullptr);
  const Graph lookup = GraphBuilder()
                           .Input("id", {kBatch}, DType::kInt64)
                           .Weight("table", Shape({5, 3}))
                           .Weight("w", Shape({3, 2}))
                           .Node("Gather", {"table", "id"}, {"row"})
                           .Node("Gemm", {"row", "w"}, {"y"})
                           .Output("y")
                           .Build();
  EXPECT_OK(Choose(lookup, Structure::kEmbeddingDimensions, MomentKind::kDiagonal).status());
  EXPECT_THAT(
      Choose(lookup, Structure::kEmbeddingRows, MomentKind::kDiagonal).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'table': not all of it is read by")));
}

// Of four branches the second ends with a normalization, whose scale no moments are of.
TEST(CalibratedGroups, ABranchThatEndsWithoutAMatrixStaysAlone) {
  GraphBuilder builder;
  builder.Input("x0", {kBatch, 4}).Weight("scale", Shape({4})).Weight("shift", Shape({4}));
  std::string x = "x0";
  for (const std::string i : {"1", "2", "3", "4"}) {
    builder.Weight("w" + i, Shape({4, 4})).Node("Gemm", {x, "w" + i}, {"b" + i});
    std::string branch = "b" + i;
    if (i == "2") {
      builder.Node("LayerNormalization", {branch, "scale", "shift"}, {"n"}, {Int("axis", -1)});
      branch = "n";
    }
    builder.Node("Add", {x, branch}, {"x" + i});
    x = "x" + i;
  }
  const Graph graph =
      builder.Weight("head", Shape({4, 2})).Node("Gemm", {x, "head"}, {"y"}).Output("y").Build();
  ASSERT_OK_AND_ASSIGN(const auto choices,
                       Choose(graph, Structure::kBranches, MomentKind::kDiagonal));
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].group->count(), 3);
  EXPECT_EQ(choices[1].name, "w2");
  EXPECT_THAT(choices[1].dense_reason, HasSubstr("ends with, a matrix"));
}

}  // namespace
}  // namespace topiary
