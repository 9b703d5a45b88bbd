#include "worker/prune/wanda.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/calibration_test_util.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;

std::vector<double> Diagonal(const std::vector<double>& moments) {
  const auto n = static_cast<size_t>(std::sqrt(static_cast<double>(moments.size())));
  std::vector<double> diagonal(n);
  for (size_t i = 0; i < n; ++i) diagonal[i] = moments[i * n + i];
  return diagonal;
}

void UseDiagonal(TestLayer* test) {
  test->layer.moments = [test](int64_t) { return Diagonal(test->moments); };
}

WandaOptions PerLayer() {
  WandaOptions options;
  options.comparison = WandaOptions::Comparison::kLayer;
  return options;
}

// Two outputs of four inputs: scores |W| |X| by hand.
TEST(Wanda, WeighsEachWeightByItsInputWithinItsOutput) {
  TestLayer test(4, 2, {1, 1}, 0.5);
  test.weights = {4,  3,  2,   1,  //
                  40, 30, -20, 10};
  test.layer.weight = absl::MakeSpan(test.weights);
  test.layer.moments = [](int64_t) { return std::vector<double>{0.01, 1, 4, 1}; };
  // Norms .1, 1, 2, 1: scores .4, 3, 4, 1 and 4, 30, 40, 10.
  ASSERT_OK(PruneCalibrated(WandaOptions(), test.layer).status());
  EXPECT_THAT(test.weights, ElementsAre(0, 3, 2, 0, 0, 30, -20, 0));
}

TEST(Wanda, ComparesOverTheLayerWhereAsked) {
  TestLayer test(4, 2, {1, 1}, 0.5);
  test.weights = {4,  3,  2,   1,  //
                  40, 30, -20, 10};
  test.layer.weight = absl::MakeSpan(test.weights);
  test.layer.moments = [](int64_t) { return std::vector<double>{0.0001, 1, 4, 1}; };
  ASSERT_OK(PruneCalibrated(PerLayer(), test.layer).status());
  // Norms .01, 1, 2, 1: scores .04, 3, 4, 1 and .4, 30, 40, 10.
  EXPECT_THAT(test.weights, ElementsAre(0, 0, 2, 0, 0, 30, -20, 10));
}

// A block's score is the root of the sum of squares of its elements' scores.
TEST(Wanda, RanksBlocksByTheScoresInThem) {
  TestLayer test(6, 5, {2, 2}, 0.4);
  UseDiagonal(&test);
  ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(PerLayer(), test.layer));
  const std::vector<double> squares = Diagonal(test.moments);
  double least_kept = 1e30, most_pruned = 0;
  for (int64_t block = 0; block < test.layer.partition->block_count(); ++block) {
    const BlockPosition at = test.layer.partition->Position(block);
    double score = 0;
    for (int64_t row = at.row; row < at.row + at.rows; ++row) {
      for (int64_t col = at.col; col < at.col + at.cols; ++col) {
        const double w = test.given[col * 6 + row];
        score += w * w * squares[row];
        EXPECT_EQ(test.weights[col * 6 + row], support[block] != 0 ? test.given[col * 6 + row] : 0);
      }
    }
    if (support[block] != 0) least_kept = std::min(least_kept, score);
    if (support[block] == 0) most_pruned = std::max(most_pruned, score);
  }
  EXPECT_LT(most_pruned, least_kept);
  EXPECT_EQ(LiveBlocks(support), 5) << "of 9, 5.4";
}

// 8 rows of blocks and 6 columns: 48 blocks, of which 12.5 % is 6, one of each column; and of
// 43.75 %, 21, the columns keep three or four.
TEST(Wanda, SpreadsWhatIsKeptEvenlyOverTheOutputs) {
  for (const double sparsity : {0.875, 0.5625}) {
    TestLayer test(16, 12, {2, 2}, sparsity);
    UseDiagonal(&test);
    ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(WandaOptions(), test.layer));
    EXPECT_EQ(LiveBlocks(support), KeptBlocks(sparsity, 48));
    std::vector<int64_t> of_column(6, 0);
    for (int64_t block = 0; block < 48; ++block) of_column[block % 6] += support[block];
    const auto [least, most] = std::minmax_element(of_column.begin(), of_column.end());
    EXPECT_LE(*most - *least, 1);
  }
}

TEST(Wanda, KeepsTwoOfFour) {
  TestLayer test(10, 6, {1, 1}, 0.5);
  UseDiagonal(&test);
  test.layer.n_of_m = NOfM{2, 4};
  ASSERT_OK_AND_ASSIGN(const Support support, PruneCalibrated(WandaOptions(), test.layer));
  const std::vector<double> squares = Diagonal(test.moments);
  for (int64_t output = 0; output < 6; ++output) {
    for (int64_t begin = 0; begin < 10; begin += 4) {
      const int64_t end = std::min<int64_t>(10, begin + 4);
      double least_kept = 1e30, most_pruned = 0;
      int64_t live = 0;
      for (int64_t i = begin; i < end; ++i) {
        const double w = test.given[output * 10 + i];
        const double score = w * w * squares[i];
        live += support[i * 6 + output];
        if (support[i * 6 + output] != 0) least_kept = std::min(least_kept, score);
        if (support[i * 6 + output] == 0) most_pruned = std::max(most_pruned, score);
      }
      EXPECT_EQ(live, 2);
      EXPECT_LE(most_pruned, least_kept);
    }
  }
}

// A kernel of 2 x 3 places of 2 groups of 2 channels each, 3 outputs a group: inputs of a group are
// counted by place, then channel, as moments are; the weight is stored [outputs][channels][2][3].
TEST(Wanda, ScoresTheCandidatesThatAConvolutionReads) {
  PrunableLayer layer;
  layer.weight = "w";
  layer.kind = LayerKind::kConv;
  layer.groups = 2;
  layer.rows = 12;
  layer.cols = 3;
  layer.in_extent = 2;
  layer.group_stride = 36;
  layer.spatial_stride = 1;
  layer.in_stride = 6;
  layer.col_stride = 12;
  // Channel 1 of the first group and channel 0 of the second: candidates 1 and 0.
  CandidatePart part;
  part.weight = "w";
  part.elements = 72;
  std::vector<double> expected = {5, 7};  // As they are added to.
  const auto moment = [](int64_t group, int64_t row) { return 1.0 + 100.0 * group + row; };
  std::vector<float> weight(72);
  for (int64_t group = 0; group < 2; ++group) {
    const int64_t channel = 1 - group;
    for (int64_t output = 0; output < 3; ++output) {
      for (int64_t place = 0; place < 6; ++place) {
        const int64_t at = group * 36 + output * 12 + channel * 6 + place;
        weight[at] = static_cast<float>(at - 30);
        part.runs.push_back({at, 1, 1, static_cast<int32_t>(1 - group)});
        expected[1 - group] += std::pow(at - 30, 2) * moment(group, place * 2 + channel);
      }
    }
  }
  const auto moments = [&](int64_t group) {
    std::vector<double> of_group;
    for (int64_t row = 0; row < 12; ++row) of_group.push_back(moment(group, row));
    return of_group;
  };
  std::vector<double> squares = {5, 7};
  AddSquaredScores({&part, &layer}, moments, weight, absl::MakeSpan(squares));
  EXPECT_EQ(squares, expected);
}

}  // namespace
}  // namespace topiary
