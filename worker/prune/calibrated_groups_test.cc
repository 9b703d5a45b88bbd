#include "worker/prune/calibrated_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kBatch = GraphBuilder::kBatch;

std::vector<GroupChoice> Choose(const Graph& graph, Structure structure) {
  std::set<std::string> trainable;
  for (const Initializer& initializer : graph.initializers) trainable.insert(initializer.name);
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = structure;
  return ChooseGroups(graph, trainable, target).value();
}

// For a method that needs moments of that kind.
absl::Status Leave(MomentKind kind, const Graph& graph, Structure structure,
                   std::vector<GroupChoice>* choices) {
  return LeaveWhatIsNotCalibrated(kind, FindPrunableLayers(graph), structure, std::nullopt,
                                  choices);
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

TEST(LeaveWhatIsNotCalibrated, HiddenUnitsAreTheInputsOfTheLayerAfterThem) {
  const Graph graph = Network();
  std::vector<GroupChoice> choices = Choose(graph, Structure::kNeurons);
  ASSERT_OK(Leave(MomentKind::kFull, graph, Structure::kNeurons, &choices));
  ASSERT_EQ(choices.size(), 3u);
  ExpectTheCandidates(choices[0], 1);  // By w2, stored [inputs][outputs],
  ExpectTheCandidates(choices[1], 1);  // and w3, [outputs][inputs].
  EXPECT_EQ(choices[2].reader, nullptr);
}

// Channels of which a convolution of 3 x 3 reads nine inputs each, not in a row.
TEST(LeaveWhatIsNotCalibrated, CandidatesThatAreNoInputsInARowStay) {
  const Graph graph = Network();
  std::vector<GroupChoice> choices = Choose(graph, Structure::kChannels);
  ASSERT_OK(Leave(MomentKind::kFull, graph, Structure::kChannels, &choices));
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].reader, nullptr);
  EXPECT_THAT(choices[0].dense_reason, HasSubstr("'c2' does not read each candidate"));
  ExpectTheCandidates(choices[1], 4);  // Flattened: four places of a channel, one after another.
}

// Half of what "w" reads are other units.
TEST(LeaveWhatIsNotCalibrated, UnitsThatShareTheirReaderStay) {
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
  std::vector<GroupChoice> choices = Choose(graph, Structure::kNeurons);
  EXPECT_THAT(Leave(MomentKind::kFull, graph, Structure::kNeurons, &choices),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("no neurons would be pruned"), HasSubstr("'w1': 'w' does"),
                             HasSubstr("by another method"))));
}

TEST(LeaveWhatIsNotCalibrated, UnitsOfSeveralReadersStay) {
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
  std::vector<GroupChoice> choices = Choose(graph, Structure::kNeurons);
  EXPECT_THAT(Leave(MomentKind::kFull, graph, Structure::kNeurons, &choices),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'w1': 2 weights read the candidates")));
}

TEST(LeaveWhatIsNotCalibrated, BlocksThatDoNotFitTheMemoryAreNotMade) {
  const Graph graph = Network();
  std::vector<GroupChoice> choices = Choose(graph, Structure::kNeurons);
  EXPECT_THAT(LeaveWhatIsNotCalibrated(MomentKind::kFull, FindPrunableLayers(graph),
                                       Structure::kNeurons, 100, &choices),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("target.structure")));
}

// No blocks are asked for: convolutions and several readers will do, but not rows of a table, which
// nothing is multiplied with.
TEST(LeaveWhatIsNotCalibrated, TheDiagonalWillDoForAnyMatrix) {
  const Graph graph = Network();
  std::vector<GroupChoice> choices = Choose(graph, Structure::kChannels);
  ASSERT_OK(Leave(MomentKind::kDiagonal, graph, Structure::kChannels, &choices));
  EXPECT_THAT(choices[0].dense_reason, IsEmpty());
  EXPECT_EQ(choices[0].reader, nullptr);
  const Graph lookup = GraphBuilder()
                           .Input("id", {kBatch}, DType::kInt64)
                           .Weight("table", Shape({5, 3}))
                           .Weight("w", Shape({3, 2}))
                           .Node("Gather", {"table", "id"}, {"row"})
                           .Node("Gemm", {"row", "w"}, {"y"})
                           .Output("y")
                           .Build();
  std::vector<GroupChoice> columns = Choose(lookup, Structure::kEmbeddingDimensions);
  EXPECT_OK(Leave(MomentKind::kDiagonal, lookup, Structure::kEmbeddingDimensions, &columns));
  std::vector<GroupChoice> rows = Choose(lookup, Structure::kEmbeddingRows);
  EXPECT_THAT(Leave(MomentKind::kDiagonal, lookup, Structure::kEmbeddingRows, &rows),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'table': there are candidates that no Gemm")));
}

}  // namespace
}  // namespace topiary
