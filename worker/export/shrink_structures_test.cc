// What pruning a structure leaves behind shrinks by all that was pruned, and computes the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/status_matchers.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/export/testing/shrink_checks.h"
#include "worker/export/testing/transformer.h"
#include "worker/model/residual_branches.h"
#include "worker/model/shape_inference.h"
#include "worker/prune/group_choice.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = GraphBuilder::kBatch;

std::vector<GroupChoice> Choose(const Graph& graph, const PruningTarget& target) {
  std::set<std::string> trainable;
  for (const Initializer& initializer : graph.initializers) trainable.insert(initializer.name);
  auto choices = ChooseGroups(graph, trainable, target);
  EXPECT_OK(choices.status());
  return choices.ok() ? *std::move(choices) : std::vector<GroupChoice>();
}

std::vector<GroupChoice> Choose(const Graph& graph, Structure structure) {
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = structure;
  return Choose(graph, target);
}

// Prunes candidates 0, 3, 6, ... of each group as a job does in its last step. `coupled` says
// whether what is of no use then is zeroed too.
Graph Pruned(Graph graph, const std::vector<GroupChoice>& choices, bool coupled) {
  for (const GroupChoice& choice : choices) {
    if (!choice.dense_reason.empty()) continue;
    std::vector<uint8_t> kept(choice.group->count(), 1);
    for (size_t i = 0; i < kept.size(); i += 3) kept[i] = 0;
    const auto zero = [&](absl::Span<const CandidatePart> parts) {
      for (const CandidatePart& part : parts) {
        ZeroPruned(part, kept, graph.FindInitializer(part.weight)->value.span<float>());
      }
    };
    zero(choice.group->scaled());
    if (coupled) zero(choice.group->coupled());
  }
  return graph;
}

// The same for both. Cutting off what reads a candidate is all that changes what is computed.
ShrunkModel PrunedAndShrunk(const Graph& graph, Structure structure) {
  const std::vector<GroupChoice> choices = Choose(graph, structure);
  const Graph cut = Pruned(graph.Clone(), choices, false);
  const Graph zeroed = Pruned(graph.Clone(), choices, true);
  EXPECT_EQ(OutputsOf(cut), OutputsOf(zeroed));
  const ShrunkModel of_cut = ShrunkAndEqual(cut);
  ShrunkModel of_zeroed = ShrunkAndEqual(zeroed);
  EXPECT_EQ(of_cut.tensors.size(), of_zeroed.tensors.size());
  return of_zeroed;
}

GradientGraph& Normalized(GradientGraph& graph, const std::string& name, int64_t channels) {
  return graph.Weight(name + ".scale", Shape({channels}))
      .Weight(name + ".shift", Shape({channels}))
      .Statistics(name + ".mean", name + ".variance", channels)
      .Node("BatchNormalization",
            {name, name + ".scale", name + ".shift", name + ".mean", name + ".variance"},
            name + ".n");
}

// A residual sum, a depthwise and a grouped convolution, a Concat, normalization between, and a
// hidden layer after the images have become rows.
Graph ConvolutionalNetwork() {
  const std::vector<Attribute> same = {List("pads", {1, 1, 1, 1})};
  const auto grouped = [&](int64_t groups) {
    return std::vector<Attribute>{List("pads", {1, 1, 1, 1}), Int("group", groups)};
  };
  GradientGraph graph;
  graph.Input("x", {kBatch, 3, 6, 6})
      .Weight("c1", Shape({6, 3, 3, 3}))
      .Node("Conv", {"x", "c1"}, "v1", same);
  Normalized(graph, "v1", 6)
      .Node("Relu", {"v1.n"}, "a1")
      .Weight("c2", Shape({6, 6, 3, 3}))
      .Weight("c2.b", Shape({6}))
      .Node("Conv", {"a1", "c2", "c2.b"}, "v2", same);
  Normalized(graph, "v2", 6)
      .Node("Add", {"a1", "v2.n"}, "sum")
      .Weight("depthwise", Shape({6, 1, 3, 3}))
      .Weight("depthwise.b", Shape({6}))
      .Node("Conv", {"sum", "depthwise", "depthwise.b"}, "v3", grouped(6))
      .Weight("c4", Shape({8, 6, 1, 1}))
      .Node("Conv", {"v3", "c4"}, "v4");
  Normalized(graph, "v4", 8)
      .Weight("groups", Shape({8, 2, 3, 3}))
      .Node("Conv", {"v4.n", "groups"}, "v5", grouped(4))
      .Weight("left", Shape({4, 8, 1, 1}))
      .Weight("left.b", Shape({4}))
      .Weight("right", Shape({7, 8, 1, 1}))
      .Node("Conv", {"v5", "left", "left.b"}, "v6")
      .Node("Conv", {"v5", "right"}, "v7")
      .Node("Concat", {"v6", "v7"}, "both", {Int("axis", 1)})
      .Node("MaxPool", {"both"}, "pooled", {List("kernel_shape", {3, 3}), List("strides", {3, 3})})
      .Node("Flatten", {"pooled"}, "flat")
      .Weight("fc1", Shape({5, 44}))
      .Weight("fc1.b", Shape({5}))
      .Node("Gemm", {"flat", "fc1", "fc1.b"}, "h", {Int("transB", 1)})
      .Node("Relu", {"h"}, "a")
      .Weight("fc2", Shape({2, 5}))
      .Node("Gemm", {"a", "fc2"}, "y", {Int("transB", 1)})
      .Output("y");
  return graph.Finish("c", LossKind::kNone, 2).graph;
}

TEST(ShrinkAfterPruning, ChannelsOfAConvolutionalNetwork) {
  const ShrunkModel model = PrunedAndShrunk(ConvolutionalNetwork(), Structure::kChannels);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({4, 3, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "c2"), Shape({4, 4, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "depthwise"), Shape({4, 1, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "v2.scale"), Shape({4}));
  // Of 4 groups of 2 the first and the last go.
  EXPECT_EQ(ShapeOf(model, "c4"), Shape({4, 4, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "groups"), Shape({4, 2, 3, 3}));
  EXPECT_EQ(ShapeOf(model, "left"), Shape({2, 4, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "right"), Shape({4, 4, 1, 1}));
  // Four places of each channel.
  EXPECT_EQ(ShapeOf(model, "fc1"), Shape({5, (2 + 4) * 4}));
  EXPECT_EQ(ShapeOf(model, "fc2"), Shape({2, 5}));
}

TEST(ShrinkAfterPruning, NeuronsOfTheHiddenLayer) {
  const ShrunkModel model = PrunedAndShrunk(ConvolutionalNetwork(), Structure::kNeurons);
  EXPECT_EQ(ShapeOf(model, "fc1"), Shape({3, 44}));
  EXPECT_EQ(ShapeOf(model, "fc1.b"), Shape({3}));
  EXPECT_EQ(ShapeOf(model, "fc2"), Shape({2, 3}));
  EXPECT_EQ(model.tensors.size(), 3u);
}

std::vector<TransformerForm> Forms() {
  std::vector<TransformerForm> forms(6);
  forms[1].linear = TransformerForm::Linear::kTransposed;
  forms[2].linear = TransformerForm::Linear::kGemm;
  forms[3].fused = true;
  forms[4].queries = 2;
  forms[5].extents = TransformerForm::Extents::kComputed;
  return forms;
}

class ShrinkTransformer : public testing::TestWithParam<TransformerForm> {};

// Three heads, or three pairs of heads that share a key and value: the first goes, with its part of
// queries, keys, values and output.
TEST_P(ShrinkTransformer, HeadsGoWithAllTheirProjections) {
  const TransformerForm& form = GetParam();
  const Graph graph = Transformer(form);
  const std::vector<GroupChoice> choices = Choose(graph, Structure::kHeads);
  ASSERT_EQ(choices.size(), 2u);  // One of each block.
  for (const GroupChoice& choice : choices) EXPECT_EQ(choice.group->count(), 3);
  const ShrunkModel model = PrunedAndShrunk(graph, Structure::kHeads);
  for (const std::string block : {"b0", "b1"}) {
    EXPECT_EQ(ShapeOf(model, block + ".o.w")[InAxis(form)], 2 * form.queries * form.depth);
    if (form.fused) {
      EXPECT_EQ(ShapeOf(model, block + ".qkv.w")[OutAxis(form)], 3 * 2 * form.depth);
      continue;
    }
    EXPECT_EQ(ShapeOf(model, block + ".q.w")[OutAxis(form)], 2 * form.queries * form.depth);
    EXPECT_EQ(ShapeOf(model, block + ".k.w")[OutAxis(form)], 2 * form.depth);
    EXPECT_EQ(ShapeOf(model, block + ".v.w")[OutAxis(form)], 2 * form.depth);
  }
}

// Of ten units in each block four go; the residual sum, which is normalized over, stays.
TEST_P(ShrinkTransformer, NeuronsOfTheFeedForwardLayers) {
  const TransformerForm& form = GetParam();
  const ShrunkModel model = PrunedAndShrunk(Transformer(form), Structure::kNeurons);
  for (const std::string block : {"b0", "b1"}) {
    EXPECT_EQ(ShapeOf(model, block + ".up.w")[OutAxis(form)], 6);
    EXPECT_EQ(ShapeOf(model, block + ".up.w")[InAxis(form)], form.width);
    EXPECT_EQ(ShapeOf(model, block + ".down.w")[InAxis(form)], 6);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, ShrinkTransformer, testing::ValuesIn(Forms()));

// Two tables beside one another; one of them is read for two fields.
TEST(ShrinkAfterPruning, DimensionsOfEmbeddings) {
  GradientGraph graph;
  graph.Input("user", {kBatch}, DType::kInt64)
      .Input("friend", {kBatch}, DType::kInt64)
      .Input("item", {kBatch}, DType::kInt64)
      .Weight("users", Shape({9, 4}))
      .Weight("items", Shape({7, 6}))
      .Weight("w1", Shape({5, 14}))
      .Weight("w2", Shape({1, 5}))
      .Node("Gather", {"users", "user"}, "u")
      .Node("Gather", {"users", "friend"}, "f")
      .Node("Gather", {"items", "item"}, "i")
      .Node("Concat", {"u", "f", "i"}, "all", {Int("axis", 1)})
      .Node("Gemm", {"all", "w1"}, "h", {Int("transB", 1)})
      .Node("Relu", {"h"}, "a")
      .Node("Gemm", {"a", "w2"}, "y", {Int("transB", 1)})
      .Output("y");
  const Graph model = graph.Finish("e", LossKind::kNone, 2).graph;
  const ShrunkModel shrunk = PrunedAndShrunk(model, Structure::kEmbeddingDimensions);
  EXPECT_EQ(ShapeOf(shrunk, "users"), Shape({9, 2}));
  EXPECT_EQ(ShapeOf(shrunk, "items"), Shape({7, 4}));
  EXPECT_EQ(ShapeOf(shrunk, "w1"), Shape({5, 2 * 2 + 4}));
}

// The first of four branches is attention, the second feeds forward.
TEST_P(ShrinkTransformer, BranchesGoWithTheirNodes) {
  const Graph graph = Transformer(GetParam());
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = Structure::kBranches;
  target.protect_first = target.protect_last = 0;
  const std::vector<GroupChoice> choices = Choose(graph, target);
  ASSERT_EQ(choices.size(), 1u);
  EXPECT_EQ(choices[0].group->count(), 4);
  // The first and the last go: attention of block 0, the feed-forward network of block 1.
  const ShrunkModel model = ShrunkAndEqual(Pruned(graph.Clone(), choices, true));
  for (const Initializer& initializer : model.graph.initializers) {
    EXPECT_NE(initializer.name.substr(0, 4), "b0.o");
    EXPECT_NE(initializer.name.substr(0, 4), "b0.q");
    EXPECT_NE(initializer.name.substr(0, 5), "b1.up");
  }
  const auto softmaxes = std::count_if(model.graph.nodes.begin(), model.graph.nodes.end(),
                                       [](const Node& node) { return node.op_type == "Softmax"; });
  EXPECT_EQ(softmaxes, 1);
  EXPECT_EQ(ShapeOf(model, "b0.up.w"), graph.FindInitializer("b0.up.w")->value.shape());
  EXPECT_EQ(ShapeOf(model, "b1.o.w"), graph.FindInitializer("b1.o.w")->value.shape());
  // What a branch adds is all that it was for.
  EXPECT_EQ(OutputsOf(Pruned(graph.Clone(), choices, false)),
            OutputsOf(Pruned(graph.Clone(), choices, true)));
}

TEST_P(ShrinkTransformer, LayersAreAttentionAndWhatFollows) {
  const Graph graph = Transformer(GetParam());
  PruningTarget target;
  target.sparsity = 0.5;
  target.structure = Structure::kTransformerLayers;
  target.protect_first = target.protect_last = 0;
  const std::vector<GroupChoice> choices = Choose(graph, target);
  ASSERT_EQ(choices.size(), 1u);
  ASSERT_EQ(choices[0].group->count(), 2);
  const ShrunkModel model = ShrunkAndEqual(Pruned(graph.Clone(), choices, true));
  for (const Initializer& initializer : model.graph.initializers) {
    const bool normalizes = initializer.name.substr(0, 4) == "b0.n";
    EXPECT_TRUE(normalizes || initializer.name.substr(0, 3) != "b0.") << initializer.name;
  }
}

// A branch of convolutions ends with the scale and shift of its normalization, and a summand that
// is the same everywhere, but not 0, becomes an initializer.
TEST(ShrinkAfterPruning, ABranchOfConvolutions) {
  const Graph graph = ConvolutionalNetwork();
  const auto inferred = InferShapes(graph, InputShapesForBatch(graph, 2).value());
  ASSERT_OK(inferred.status());
  const std::vector<ResidualBranch> branches = FindResidualBranches(graph, *inferred);
  ASSERT_EQ(branches.size(), 1u);
  EXPECT_THAT(branches[0].last, testing::ElementsAre("v2.scale", "v2.shift"));
  Graph pruned = graph.Clone();
  for (const std::string& weight : branches[0].last) {
    for (int64_t i = 0; i < 6; ++i) ClearSlice(&pruned, weight, 0, i);
  }
  const ShrunkModel model = ShrunkAndEqual(pruned);
  EXPECT_EQ(ShapeOf(model, "c2"), Shape({-1}));
  EXPECT_EQ(ShapeOf(model, "v2.mean"), Shape({-1}));
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({6, 3, 3, 3}));

  Graph constant = graph.Clone();
  for (int64_t i = 0; i < 6; ++i) ClearSlice(&constant, "v2.scale", 0, i);
  const ShrunkModel kept = ShrunkAndEqual(constant);
  EXPECT_EQ(ShapeOf(kept, "c2"), Shape({-1}));
  EXPECT_EQ(ShapeOf(kept, "v2.n.constant"), Shape({6, 1, 1}));
}

// Without the divisor of a neuron that is gone there would be 0 / 0.
TEST(ShrinkAfterPruning, DivisorsStay) {
  GradientGraph graph;
  graph.Input("x", {kBatch, 4})
      .Weight("above", Shape({6, 4}))
      .Weight("below", Shape({6, 4}))
      .Weight("w1", Shape({5, 6}))
      .Weight("w2", Shape({2, 5}))
      .Node("Gemm", {"x", "above"}, "a", {Int("transB", 1)})
      .Node("Gemm", {"x", "below"}, "b", {Int("transB", 1)})
      .Node("Div", {"a", "b"}, "q")
      .Node("Gemm", {"q", "w1"}, "h", {Int("transB", 1)})
      .Node("Relu", {"h"}, "r")
      .Node("Gemm", {"r", "w2"}, "y", {Int("transB", 1)})
      .Output("y");
  const ShrunkModel model =
      PrunedAndShrunk(graph.Finish("d", LossKind::kNone, 2).graph, Structure::kNeurons);
  EXPECT_EQ(ShapeOf(model, "above"), Shape({6, 4}));
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({3, 6}));
}

// Of the grouped one each of these is an input of every group.
TEST(ShrinkAfterPruning, InputsOfAKernelThatAGroupedConvolutionSharesStay) {
  GradientGraph graph;
  graph.Input("x", {kBatch, 3, 4, 4})
      .Weight("c1", Shape({2, 3, 1, 1}))
      .Weight("c2", Shape({4, 3, 1, 1}))
      .Weight("shared", Shape({8, 2, 1, 1}))
      .Weight("c3", Shape({6, 8, 1, 1}))
      .Weight("c4", Shape({2, 6, 1, 1}))
      .Node("Conv", {"x", "c1"}, "two")
      .Node("Conv", {"x", "c2"}, "four")
      .Node("Conv", {"two", "shared"}, "a")
      .Node("Conv", {"four", "shared"}, "b", {Int("group", 2)})
      .Node("Add", {"a", "b"}, "s")
      .Node("Conv", {"s", "c3"}, "h")
      .Node("Relu", {"h"}, "r")
      .Node("Conv", {"r", "c4"}, "y")
      .Output("y");
  const ShrunkModel model =
      PrunedAndShrunk(graph.Finish("g", LossKind::kNone, 2).graph, Structure::kChannels);
  EXPECT_EQ(ShapeOf(model, "c1"), Shape({2, 3, 1, 1}));
  EXPECT_EQ(ShapeOf(model, "c4"), Shape({2, 4, 1, 1}));
}

// One Gather fetches the rows of three fields; the rest of a Reshape is written or left open.
TEST(ShrinkAfterPruning, DimensionsOfRowsBesideOneAnother) {
  for (const std::vector<int64_t>& target :
       {std::vector<int64_t>{-1, 12}, std::vector<int64_t>{0, -1}}) {
    GradientGraph graph;
    graph.Input("ids", {kBatch, 3}, DType::kInt64)
        .Weight("table", Shape({9, 4}))
        .Weight("w1", Shape({5, 12}))
        .Weight("w2", Shape({1, 5}))
        .Ints("flat", target)
        .Node("Gather", {"table", "ids"}, "rows")
        .Node("Reshape", {"rows", "flat"}, "all")
        .Node("Gemm", {"all", "w1"}, "h", {Int("transB", 1)})
        .Node("Relu", {"h"}, "a")
        .Node("Gemm", {"a", "w2"}, "y", {Int("transB", 1)})
        .Output("y");
    const Graph model = graph.Finish("e", LossKind::kNone, 2).graph;
    const ShrunkModel shrunk = PrunedAndShrunk(model, Structure::kEmbeddingDimensions);
    EXPECT_EQ(ShapeOf(shrunk, "table"), Shape({9, 2}));
    EXPECT_EQ(ShapeOf(shrunk, "w1"), Shape({5, 6}));
  }
}

Graph Recommender() {
  GradientGraph graph;
  graph.Input("user", {kBatch}, DType::kInt64)
      .Input("item", {kBatch}, DType::kInt64)
      .Input("numbers", {kBatch, 3})
      .Weight("users", Shape({9, 4}))
      .Weight("items", Shape({7, 6}))
      .Weight("w1", Shape({5, 13}))
      .Weight("w2", Shape({1, 5}))
      .Node("Gather", {"users", "user"}, "u")
      .Node("Gather", {"items", "item"}, "i")
      .Node("Concat", {"u", "numbers", "i"}, "all", {Int("axis", 1)})
      .Node("Gemm", {"all", "w1"}, "h", {Int("transB", 1)})
      .Node("Relu", {"h"}, "a")
      .Node("Gemm", {"a", "w2"}, "y", {Int("transB", 1)})
      .Output("y");
  return graph.Finish("e", LossKind::kNone, 2).graph;
}

TEST(ShrinkAfterPruning, TablesGoWhole) {
  const std::vector<GroupChoice> choices = Choose(Recommender(), Structure::kEmbeddingTables);
  ASSERT_EQ(choices.size(), 1u);
  ASSERT_EQ(choices[0].group->count(), 2);
  const ShrunkModel model = ShrunkAndEqual(Pruned(Recommender(), choices, true));
  EXPECT_EQ(ShapeOf(model, "users"), Shape({-1}));
  EXPECT_EQ(ShapeOf(model, "items"), Shape({7, 6}));
  EXPECT_EQ(ShapeOf(model, "w1"), Shape({5, 9}));
  ASSERT_EQ(model.tensors.size(), 2u);
  EXPECT_EQ(model.tensors[1].name, "users");
  EXPECT_EQ(model.tensors[1].after, Shape({0}));
  EXPECT_EQ(model.graph.inputs.size(), 3u);  // Whoever feeds the model need not know.
}

// A projection comes before the lookup in the sum of both.
TEST(ShrinkAfterPruning, ATableIsNamedAsATable) {
  GradientGraph graph;
  graph.Input("user", {kBatch}, DType::kInt64)
      .Input("item", {kBatch}, DType::kInt64)
      .Input("numbers", {kBatch, 3})
      .Weight("projection", Shape({4, 3}))
      .Weight("items", Shape({7, 4}))
      .Weight("users", Shape({9, 4}))
      .Weight("w1", Shape({5, 8}))
      .Node("Gemm", {"numbers", "projection"}, "p", {Int("transB", 1)})
      .Node("Gather", {"items", "item"}, "i")
      .Node("Add", {"p", "i"}, "s")
      .Node("Gather", {"users", "user"}, "u")
      .Node("Concat", {"s", "u"}, "all", {Int("axis", 1)})
      .Node("Gemm", {"all", "w1"}, "y", {Int("transB", 1)})
      .Output("y");
  const std::vector<GroupChoice> choices =
      Choose(graph.Finish("t", LossKind::kNone, 2).graph, Structure::kEmbeddingTables);
  ASSERT_EQ(choices.size(), 1u);
  EXPECT_THAT(choices[0].makers, testing::ElementsAre("items", "users"));
}

TEST(ShrinkAfterPruning, RowsOfTables) {
  const std::vector<GroupChoice> choices = Choose(Recommender(), Structure::kEmbeddingRows);
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].group->count(), 9);
  EXPECT_EQ(choices[1].group->count(), 7);
  const Graph pruned = Pruned(Recommender(), choices, true);
  const float* users = pruned.FindInitializer("users")->value.data<float>();
  for (int64_t row = 0; row < 9; ++row) {
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(users[row * 4 + i] == 0, row % 3 == 0);
  }
  ShrunkAndEqual(pruned);
}

}  // namespace
}  // namespace topiary
