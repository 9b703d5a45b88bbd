#include "worker/model/residual_branches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kBatch = GraphBuilder::kBatch;

std::vector<ResidualBranch> Find(const Graph& graph) {
  const auto shapes = InputShapesForBatch(graph, 2);
  EXPECT_OK(shapes.status());
  const auto inferred = InferShapes(graph, *shapes);
  EXPECT_OK(inferred.status());
  return inferred.ok() ? FindResidualBranches(graph, *inferred) : std::vector<ResidualBranch>();
}

// A stem, then x + b with b = w2 relu(w1 x), which `ending` may add to. The branch ends at "b".
GraphBuilder Block() {
  GraphBuilder builder;
  builder.Input("in", {kBatch, 3})
      .Weight("stem", Shape({3, 4}))
      .Weight("w1", Shape({4, 6}))
      .Weight("w2", Shape({6, 4}))
      .Weight("b2", Shape({4}))
      .Node("Gemm", {"in", "stem"}, {"x"})
      .Node("Gemm", {"x", "w1"}, {"h"})
      .Node("Relu", {"h"}, {"a"});
  return builder;
}

TEST(FindResidualBranches, EndWithAWeightAndItsBias) {
  const auto branches = Find(Block()
                                 .Node("Gemm", {"a", "w2", "b2"}, {"b"})
                                 .Node("Add", {"x", "b"}, {"y"})
                                 .Output("y")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_EQ(branches[0].sum, 4);
  EXPECT_EQ(branches[0].skipped, "x");
  EXPECT_EQ(branches[0].output, "b");
  EXPECT_THAT(branches[0].nodes, ElementsAre(1, 2, 3));
  EXPECT_THAT(branches[0].last, ElementsAre("b2", "w2"));
  EXPECT_THAT(branches[0].reason, IsEmpty());
  EXPECT_FALSE(branches[0].attends);
}

// As exporters write it: a bias that is added, Dropout, and a factor for each channel.
TEST(FindResidualBranches, ScalesPassThroughWhatFollowsTheWeight) {
  const auto branches = Find(Block()
                                 .Node("MatMul", {"a", "w2"}, {"p"})
                                 .Node("Add", {"b2", "p"}, {"q"})
                                 .Node("Dropout", {"q"}, {"d"})
                                 .Node("Relu", {"d"}, {"b"})
                                 .Node("Add", {"b", "x"}, {"y"})
                                 .Output("y")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_THAT(branches[0].last, ElementsAre("b2", "w2"));
}

TEST(FindResidualBranches, OneFactorIsEnough) {
  const auto branches = Find(Block()
                                 .Weight("gamma", Shape({4}))
                                 .Node("Gemm", {"a", "w2", "b2"}, {"p"})
                                 .Node("Mul", {"gamma", "p"}, {"b"})
                                 .Node("Add", {"x", "b"}, {"y"})
                                 .Output("y")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_THAT(branches[0].last, ElementsAre("gamma"));
}

TEST(FindResidualBranches, NormalizationIsWhatABranchEndsWith) {
  const auto branches = Find(Block()
                                 .Weight("scale", Shape({4}))
                                 .Weight("shift", Shape({4}))
                                 .Node("Gemm", {"a", "w2"}, {"p"})
                                 .Node("LayerNormalization", {"p", "scale", "shift"}, {"b"})
                                 .Node("Add", {"x", "b"}, {"y"})
                                 .Output("y")
                                 .Opset(17)
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_THAT(branches[0].last, ElementsAre("scale", "shift"));
}

TEST(FindResidualBranches, SaysWhyABranchCannotBeScaled) {
  const auto curved = Find(Block()
                               .Node("Gemm", {"a", "w2"}, {"p"})
                               .Node("Sigmoid", {"p"}, {"b"})
                               .Node("Add", {"x", "b"}, {"y"})
                               .Output("y")
                               .Build());
  ASSERT_THAT(curved, SizeIs(1));
  EXPECT_THAT(curved[0].last, IsEmpty());
  EXPECT_THAT(curved[0].reason, HasSubstr("ends with a Sigmoid"));
  GraphBuilder chain = Block();
  chain.Node("Gemm", {"a", "w2"}, {"r0"});
  for (int i = 0; i < 100; ++i) {
    chain.Node("Relu", {absl::StrCat("r", i)}, {absl::StrCat("r", i + 1)});
  }
  const auto chained = Find(chain.Node("Add", {"x", "r100"}, {"y"}).Output("y").Build());
  ASSERT_THAT(chained, SizeIs(1));
  EXPECT_THAT(chained[0].reason, HasSubstr("too many nodes"));
  // Two blocks with the same weights.
  const auto shared = Find(Block()
                               .Node("Gemm", {"a", "w2"}, {"b"})
                               .Node("Add", {"x", "b"}, {"y"})
                               .Node("Gemm", {"y", "w1"}, {"h2"})
                               .Node("Gemm", {"h2", "w2"}, {"c"})
                               .Node("Add", {"y", "c"}, {"z"})
                               .Output("z")
                               .Build());
  ASSERT_THAT(shared, SizeIs(2));
  EXPECT_EQ(shared[0].reason, "'w2' has other uses");
}

TEST(FindResidualBranches, OtherSumsAreNone) {
  // A projection in place of the skipped value, and a branch that something else reads.
  const auto branches = Find(Block()
                                 .Weight("skip", Shape({4, 4}))
                                 .Weight("w3", Shape({4, 4}))
                                 .Node("Gemm", {"a", "w2"}, {"b"})
                                 .Node("Gemm", {"x", "skip"}, {"s"})
                                 .Node("Add", {"s", "b"}, {"y"})
                                 .Node("Gemm", {"y", "w3"}, {"c"})
                                 .Node("Add", {"c", "y"}, {"z"})
                                 .Output("z")
                                 .Output("c")
                                 .Build());
  EXPECT_THAT(branches, IsEmpty());
}

// A sum around the whole network, as those of pictures that are made sharper have.
TEST(FindResidualBranches, TheInnerOnesCount) {
  const auto branches = Find(Block()
                                 .Weight("w3", Shape({4, 4}))
                                 .Node("Gemm", {"a", "w2"}, {"b"})
                                 .Node("Add", {"x", "b"}, {"y"})
                                 .Node("Gemm", {"y", "w3"}, {"c"})
                                 .Node("Add", {"x", "c"}, {"z"})
                                 .Output("z")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_EQ(branches[0].output, "b");
}

// The other summand was made long before, and is no part of what is found behind the first.
TEST(FindResidualBranches, ABranchMayBeTheFirstSummandOrTheSecond) {
  const auto branches = Find(Block()
                                 .Node("Relu", {"in"}, {"other"})
                                 .Node("Gemm", {"other", "stem"}, {"o"})
                                 .Node("Gemm", {"a", "w2"}, {"b"})
                                 .Node("Add", {"o", "b"}, {"p"})
                                 .Node("Add", {"p", "x"}, {"y"})
                                 .Output("y")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_EQ(branches[0].output, "p");
  EXPECT_THAT(branches[0].nodes, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(FindResidualBranches, AnEndlessBranchIsNone) {
  GraphBuilder chain = Block();
  chain.Node("Gemm", {"a", "w2"}, {"r0"});
  for (int i = 0; i < 10000; ++i) {
    chain.Node("Relu", {absl::StrCat("r", i)}, {absl::StrCat("r", i + 1)});
  }
  EXPECT_THAT(Find(chain.Node("Add", {"x", "r10000"}, {"y"}).Output("y").Build()), IsEmpty());
}

TEST(FindResidualBranches, AWeightWithoutElementsCannotBeScaled) {
  const auto branches = Find(GraphBuilder()
                                 .Input("in", {kBatch, 3})
                                 .Weight("stem", Shape({3, 0}))
                                 .Weight("w", Shape({0, 0}))
                                 .Node("Gemm", {"in", "stem"}, {"x"})
                                 .Node("Gemm", {"x", "w"}, {"b"})
                                 .Node("Add", {"x", "b"}, {"y"})
                                 .Output("y")
                                 .Build());
  ASSERT_THAT(branches, SizeIs(1));
  EXPECT_EQ(branches[0].reason, "'w' has no elements");
}

// Each would take minutes where every sum is compared with every node.
TEST(FindResidualBranches, AFileMayHaveVeryManySums) {
  constexpr int kSums = 5000;
  const auto named = [](const std::string& name, int i) { return absl::StrCat(name, i); };
  GraphBuilder row = Block();
  GraphBuilder nested = Block();
  GraphBuilder unrelated = Block();
  row.Node("Relu", {"x"}, {"y0"});
  nested.Node("Relu", {"x"}, {"y0"});
  unrelated.Node("Gemm", {"a", "w2"}, {"y0"});
  for (int i = 0; i < kSums; ++i) unrelated.Node("Relu", {"x"}, {named("c", i)});
  for (int i = 0; i < kSums; ++i) {
    const std::string y = named("y", i);
    const std::string next = named("y", i + 1);
    row.Node("Relu", {y}, {named("r", i)}).Node("Relu", {named("r", i)}, {named("s", i)});
    row.Node("Add", {y, named("s", i)}, {next});
    nested.Node("Relu", {y}, {named("r", i)}).Node("Add", {"x", named("r", i)}, {next});
    unrelated.Node("Add", {y, named("c", i)}, {next});
  }
  const std::string last = named("y", kSums);
  EXPECT_THAT(Find(row.Output(last).Build()), SizeIs(kSums));
  EXPECT_THAT(Find(nested.Output(last).Build()), SizeIs(1));
  EXPECT_THAT(Find(unrelated.Output(last).Build()), IsEmpty());
}

}  // namespace
}  // namespace topiary
