#include "worker/prune/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

PrunableLayer Linear(const std::string& weight, const std::string& node, int64_t rows,
                     int64_t cols) {
  PrunableLayer layer;
  layer.weight = weight;
  layer.node_name = node;
  layer.shape = Shape({cols, rows});
  layer.rows = rows;
  layer.cols = cols;
  layer.transposed = true;
  layer.in_extent = rows;
  layer.group_stride = rows * cols;
  layer.in_stride = 1;
  layer.col_stride = rows;
  return layer;
}

class ChoosingLayers : public testing::Test {
 protected:
  const std::vector<PrunableLayer> layers_ = {Linear("fc1.weight", "/fc1/Gemm", 200, 100),
                                              Linear("fc2.weight", "/fc2/Gemm", 100, 100),
                                              Linear("head.weight", "/head/Gemm", 100, 10)};
  const std::set<std::string> trainable_ = {"fc1.weight", "fc2.weight", "head.weight"};

  static PruningTarget Target() {
    PruningTarget target;
    target.block = {10, 10};
    return target;
  }
  // Weights of the layers that would be pruned.
  std::vector<std::string> Pruned(const PruningTarget& target) {
    std::vector<std::string> names;
    const auto choices = ChooseLayers(layers_, trainable_, target).value();
    for (const LayerChoice& choice : choices) {
      EXPECT_EQ(choice.partition == nullptr, !choice.dense_reason.empty());
      if (choice.partition != nullptr) names.push_back(choice.layer.weight);
    }
    return names;
  }
};

TEST_F(ChoosingLayers, LeavesLayersOfFewerThanAHundredBlocksDense) {
  const auto choices = ChooseLayers(layers_, trainable_, Target()).value();
  EXPECT_NE(choices[0].partition, nullptr);
  EXPECT_NE(choices[1].partition, nullptr);  // Exactly 100.
  EXPECT_EQ(choices[2].partition, nullptr);
  EXPECT_EQ(choices[2].block_count, 10);
  EXPECT_EQ(choices[2].dense_reason, "10 blocks, fewer than 100");
}

TEST_F(ChoosingLayers, PrunesSmallLayersWhenTold) {
  PruningTarget target = Target();
  target.min_blocks = 1;
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight", "fc2.weight", "head.weight"));
}

TEST_F(ChoosingLayers, IncludesByNameOfWeightOrNode) {
  PruningTarget target = Target();
  target.include_layers = {"fc1.*"};
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight"));
  target.include_layers = {"/fc2/*"};
  EXPECT_THAT(Pruned(target), ElementsAre("fc2.weight"));
}

TEST_F(ChoosingLayers, ExclusionWinsOverInclusion) {
  PruningTarget target = Target();
  target.include_layers = {"fc*"};
  target.exclude_layers = {"fc2.weight"};
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight"));
}

TEST_F(ChoosingLayers, APatternThatMatchesNothingIsAnErrorThatNamesIt) {
  PruningTarget target = Target();
  target.exclude_layers = {"fc1.weight", "conv*"};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("exclude_layers[1] 'conv*'"), HasSubstr("'fc2.weight'"))));
}

TEST_F(ChoosingLayers, BoundsAreThoseOfTheFirstPatternThatMatches) {
  PruningTarget target = Target();
  target.layer_targets = {{"fc2*", 0.25, 0.25}, {"*", 0.5, 0.9}};
  const auto choices = ChooseLayers(layers_, trainable_, target).value();
  EXPECT_EQ(choices[0].min_sparsity, 0.5);
  EXPECT_EQ(choices[0].max_sparsity, 0.9);
  EXPECT_EQ(choices[1].min_sparsity, 0.25);
  EXPECT_EQ(choices[1].max_sparsity, 0.25);
}

TEST_F(ChoosingLayers, BoundsOfLayersThatStayDenseAreAnError) {
  PruningTarget target = Target();
  target.layer_targets = {{"fc*", 0, 0.9}, {"head*", 0.5, 0.5}};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("layer_targets[1] 'head*'"),
                             HasSubstr("'head.weight' (10 blocks, fewer than 100)"))));
  target.layer_targets = {{"conv*", 0, 0.9}};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layer_targets[0] 'conv*'")));
}

TEST_F(ChoosingLayers, NothingToPruneIsAnErrorThatSaysWhy) {
  PruningTarget target = Target();
  target.block = {64, 64};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'fc1.weight': 8 blocks"), HasSubstr("min_blocks"))));
  target.block = {200, 100};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'fc1.weight': 1 block,")));
  EXPECT_THAT(ChooseLayers({}, {}, Target()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing to prune")));
}

TEST_F(ChoosingLayers, AWeightThatIsNotTrainedStaysDense) {
  const auto choices = ChooseLayers(layers_, {"fc1.weight"}, Target()).value();
  EXPECT_NE(choices[0].partition, nullptr);
  EXPECT_THAT(choices[1].dense_reason, HasSubstr("not trained"));
}

class SparsityOutOfRange : public testing::TestWithParam<double> {};

TEST_P(SparsityOutOfRange, IsRefused) {
  PruningTarget target;
  target.sparsity = GetParam();
  EXPECT_THAT(ChooseLayers({Linear("w", "n", 1000, 1000)}, {"w"}, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sparsity")));
}

INSTANTIATE_TEST_SUITE_P(Values, SparsityOutOfRange,
                         testing::Values(0.0, 1.0, -0.5, 1.5, std::nan("")));

}  // namespace
}  // namespace topiary
