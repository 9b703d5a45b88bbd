#include "worker/prune/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

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

TEST_F(ChoosingLayers, ALayerOfWhichNothingWouldGoStaysDense) {
  PruningTarget target = Target();
  target.min_blocks = 1;
  target.sparsity = 0.04;  // Of 10 blocks none, of the others' some.
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight", "fc2.weight"));
  EXPECT_EQ(ChooseLayers(layers_, trainable_, target).value()[2].dense_reason,
            "a sparsity of 0.04 of 10 blocks rounds to none");
  target.budget = BudgetKind::kGlobal;
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight", "fc2.weight", "head.weight"));
  target.budget = BudgetKind::kUniform;
  target.layer_targets = {{"head.*", 0.5, 0.5}};
  EXPECT_THAT(Pruned(target), ElementsAre("fc1.weight", "fc2.weight", "head.weight"));
  target.layer_targets.clear();
  target.sparsity = 0.001;
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'fc1.weight': a sparsity of 0.001 of"),
                             HasSubstr("a higher sparsity"))));
}

TEST_F(ChoosingLayers, ALayerOfFewInputsHasNoRunsToPrune) {
  PruningTarget target;
  target.block = {1, 1};
  target.min_blocks = 1;
  target.sparsity = 0.5;
  target.n_of_m = NOfM{1000, 2000};
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("inputs, no more than the 1000 of each run that are kept")));
}

TEST_F(ChoosingLayers, AWeightThatIsNotTrainedStaysDense) {
  const auto choices = ChooseLayers(layers_, {"fc1.weight"}, Target()).value();
  EXPECT_NE(choices[0].partition, nullptr);
  EXPECT_THAT(choices[1].dense_reason, HasSubstr("not trained"));
}

// Runs of blocks of 2 x 1 take three times as much as the weights.
TEST_F(ChoosingLayers, MemoryOfPartitionsIsCheckedBeforeItIsTaken) {
  PruningTarget target = Target();
  target.block = {2, 1};
  const int64_t needed = (200 * 100 + 100 * 100 + 100 * 10) / 2 * int64_t{sizeof(BlockRun)};
  EXPECT_OK(ChooseLayers(layers_, trainable_, target, needed));
  EXPECT_THAT(ChooseLayers(layers_, trainable_, target, needed - 1).status(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("blocks of 2 x 1"), HasSubstr("target.block_rows"))));
  target.exclude_layers = {"fc2*"};
  EXPECT_OK(ChooseLayers(layers_, trainable_, target, needed - 1));
  // Nothing is taken: there is no such memory.
  const std::vector<PrunableLayer> huge = {Linear("w", "n", 1 << 20, 1 << 11)};
  target.exclude_layers.clear();
  EXPECT_THAT(ChooseLayers(huge, {"w"}, target, int64_t{1} << 31).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(ChoosingLayers, IsEndedWhileItMatchesPatterns) {
  std::vector<PrunableLayer> layers;
  for (int i = 0; i < 100; ++i) {
    layers.push_back(Linear(std::string(4000, 'a') + std::to_string(i), "", 100, 100));
  }
  PruningTarget target = Target();
  target.include_layers = std::vector<std::string>(100, "*" + std::string(2000, 'a') + "b");
  int asked = 0;
  EXPECT_THAT(
      ChooseLayers(layers, {}, target, std::nullopt,
                   [&] { return ++asked == 2 ? absl::CancelledError("enough") : absl::OkStatus(); })
          .status(),
      StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(asked, 2);
}

TEST_F(ChoosingLayers, NoMoreThanTwentyNamesAreInAMessage) {
  std::vector<PrunableLayer> layers;
  for (int i = 0; i < 30; ++i) {
    layers.push_back(Linear(std::to_string(i) + ".weight", "", 100, 10));
  }
  PruningTarget target = Target();
  target.include_layers = {"conv*"};
  EXPECT_THAT(ChooseLayers(layers, {}, target).status().message(),
              AllOf(HasSubstr("'19.weight' and more"), Not(HasSubstr("'20.weight'"))));
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
