#include "worker/prune/support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/random.h"

namespace topiary {
namespace {

using testing::ElementsAre;

struct Kept {
  double sparsity;
  int64_t blocks;
  int64_t expected;
};

class KeptBlocksOf : public testing::TestWithParam<Kept> {};

TEST_P(KeptBlocksOf, IsTheRoundedShareAndAtLeastOne) {
  EXPECT_EQ(KeptBlocks(GetParam().sparsity, GetParam().blocks), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Cases, KeptBlocksOf,
                         testing::Values(Kept{0.9, 1000, 100},
                                         Kept{0.9, 15, 2},  // 1.5 is a half: up, not 1.4999.
                                         Kept{0.9, 14, 1}, Kept{0.0, 7, 7}, Kept{1.0, 7, 1},
                                         Kept{0.99, 10, 1}, Kept{0.5, 3, 2}, Kept{0.7, 10, 3},
                                         Kept{0.95, 0, 0}));

TEST(SelectTopBlocks, KeepsTheHighestScores) {
  EXPECT_THAT(SelectTopBlocks({1, 5, 3, 4}, {}, 2), ElementsAre(0, 1, 0, 1));
}

TEST(SelectTopBlocks, GivesTiesToTheLowerIndex) {
  EXPECT_THAT(SelectTopBlocks({1, 1, 1, 1, 1}, {}, 3), ElementsAre(1, 1, 1, 0, 0));
  EXPECT_THAT(SelectTopBlocks({0, 2, 1, 2, 1}, {}, 3), ElementsAre(0, 1, 1, 1, 0));
}

TEST(SelectTopBlocks, NeverRevivesABlockThatIsNotACandidate) {
  EXPECT_THAT(SelectTopBlocks({9, 8, 7, 6}, {0, 1, 0, 1}, 1), ElementsAre(0, 1, 0, 0));
  EXPECT_THAT(SelectTopBlocks({9, 8, 7, 6}, {0, 1, 0, 1}, 3), ElementsAre(0, 1, 0, 1));
}

TEST(SelectTopBlocks, RanksNaNLast) {
  EXPECT_THAT(SelectTopBlocks({NAN, -5, NAN, 0}, {}, 2), ElementsAre(0, 1, 0, 1));
}

TEST(SelectTopBlocks, KeepingNoneOrAllIsLegal) {
  EXPECT_EQ(LiveBlocks(SelectTopBlocks({1, 2, 3}, {}, 0)), 0);
  EXPECT_EQ(LiveBlocks(SelectTopBlocks({1, 2, 3}, {}, 99)), 3);
  EXPECT_TRUE(SelectTopBlocks({}, {}, 1).empty());
}

TEST(SelectTopBlocks, AgreesWithAStableSortOnRandomScores) {
  for (uint64_t trial = 0; trial < 50; ++trial) {
    Random random(1, 2, trial);
    const int n = 1 + static_cast<int>(random.Below(200));
    std::vector<float> scores(n);
    std::vector<int> order(n);
    for (int i = 0; i < n; ++i) {
      scores[i] = static_cast<float>(random.Below(20));  // Many ties.
      order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return scores[a] > scores[b]; });
    const int keep = static_cast<int>(random.Below(n + 1));
    Support expected(n, 0);
    for (int i = 0; i < keep; ++i) expected[order[i]] = 1;
    EXPECT_EQ(SelectTopBlocks(scores, {}, keep), expected) << "trial " << trial;
  }
}

TEST(SelectTopBlocksGlobally, RanksAllLayersTogether) {
  const std::vector<std::vector<float>> scores = {{9, 8, 7}, {1, 2, 3}};
  const std::vector<Support> kept = SelectTopBlocksGlobally(scores, {}, 4);
  EXPECT_THAT(kept, ElementsAre(ElementsAre(1, 1, 1), ElementsAre(0, 0, 1)));
}

TEST(SelectTopBlocksGlobally, LeavesEachLayerItsBestBlock) {
  const std::vector<std::vector<float>> scores = {{9, 8, 7, 6}, {1, 2}, {0.5F}};
  const std::vector<Support> kept = SelectTopBlocksGlobally(scores, {}, 3);
  EXPECT_THAT(kept, ElementsAre(ElementsAre(1, 0, 0, 0), ElementsAre(0, 1), ElementsAre(1)));
}

TEST(SelectTopBlocksGlobally, GivesTiesToTheLowerLayerThenTheLowerIndex) {
  const std::vector<std::vector<float>> scores = {{1, 1, 1}, {1, 1, 1}};
  const std::vector<Support> kept = SelectTopBlocksGlobally(scores, {}, 4);
  EXPECT_THAT(kept, ElementsAre(ElementsAre(1, 1, 1), ElementsAre(1, 0, 0)));
}

TEST(SelectTopBlocksGlobally, KeepsEachLayerInItsRange) {
  const std::vector<std::vector<float>> scores = {{9, 8, 7, 6}, {1, 2, 3}, {5, 4}};
  const std::vector<KeptRange> ranges = {{1, 2}, {2, 3}, {1, 2}};
  EXPECT_THAT(SelectTopBlocksGlobally(scores, {}, 5, ranges),
              ElementsAre(ElementsAre(1, 1, 0, 0), ElementsAre(0, 1, 1), ElementsAre(1, 0)));
  EXPECT_THAT(SelectTopBlocksGlobally(scores, {}, 0, ranges),
              ElementsAre(ElementsAre(1, 0, 0, 0), ElementsAre(0, 1, 1), ElementsAre(1, 0)))
      << "what the ranges ask for";
  EXPECT_THAT(SelectTopBlocksGlobally(scores, {}, 9, ranges),
              ElementsAre(ElementsAre(1, 1, 0, 0), ElementsAre(1, 1, 1), ElementsAre(1, 1)))
      << "what they leave room for";
}

TEST(SelectTopBlocksGlobally, RespectsTheCandidatesOfEachLayer) {
  const std::vector<std::vector<float>> scores = {{9, 8}, {7, 6}};
  const std::vector<Support> live = {{0, 1}, {1, 1}};
  const std::vector<Support> kept = SelectTopBlocksGlobally(scores, live, 2);
  EXPECT_THAT(kept, ElementsAre(ElementsAre(0, 1), ElementsAre(1, 0)));
}

}  // namespace
}  // namespace topiary
