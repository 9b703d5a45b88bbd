#include "worker/prune/block_skipping.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace topiary {
namespace {

TEST(WorthSkipping, NeedsMorePrunedTheNarrowerTheBlocks) {
  const auto worth = [](int64_t rows, int64_t cols, int kept_of_ten) {
    std::vector<uint8_t> kept(10, 0);
    std::fill_n(kept.begin(), kept_of_ten, 1);
    return WorthSkipping(*BlockSparsePattern::Create(rows, cols * 10, rows, cols, kept));
  };
  EXPECT_TRUE(worth(16, 16, 5));
  EXPECT_FALSE(worth(16, 16, 6));
  EXPECT_TRUE(worth(4, 16, 2));
  EXPECT_FALSE(worth(16, 4, 3));
  EXPECT_TRUE(worth(1, 8, 1));
  EXPECT_FALSE(worth(8, 1, 2));
}

}  // namespace
}  // namespace topiary
