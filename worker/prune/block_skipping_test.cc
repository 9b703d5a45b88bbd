#include "worker/prune/block_skipping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::Key;

std::shared_ptr<const BlockSparsePattern> Keeping(int kept_of_ten) {
  std::vector<uint8_t> kept(10, 0);
  for (int i = 0; i < kept_of_ten; ++i) kept[i] = 1;
  return std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(16, 160, 16, 16, kept));
}

TEST(WorthSkipping, IsWhatKeepsNoMoreThanItsBreakEvenDensity) {
  const SparseWeights weights = {
      {"at", Keeping(5)}, {"above", Keeping(6)}, {"below", Keeping(1)}, {"unknown", Keeping(1)}};
  EXPECT_THAT(WorthSkipping(weights, {{"at", 0.5}, {"above", 0.5}, {"below", 0.15}, {"other", 1}}),
              ElementsAre(Key("at"), Key("below")));
  EXPECT_THAT(WorthSkipping(weights, {{"at", 0}, {"below", 0}}), testing::IsEmpty());
}

}  // namespace
}  // namespace topiary
