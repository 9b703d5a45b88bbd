#include "common/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace topiary {
namespace {

using Words = std::array<uint32_t, 4>;

// From the known-answer file of the authors' library, Random123.
TEST(Philox4x32, GivesThePublishedAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

std::vector<uint64_t> Draws(uint64_t seed, uint64_t stream, uint64_t step) {
  Random random(seed, stream, step);
  std::vector<uint64_t> draws(5);
  std::generate(draws.begin(), draws.end(), [&] { return random.Next(); });
  return draws;
}

TEST(Random, TheSameKeyGivesTheSameDraws) { EXPECT_EQ(Draws(1, 2, 3), Draws(1, 2, 3)); }

TEST(Random, SeedStreamIndexAndStepEachChangeEveryDraw) {
  const uint64_t high = uint64_t{1} << 32;
  const std::vector<std::vector<uint64_t>> all = {
      Draws(1, 2, 3), Draws(2, 2, 3),        Draws(1 + high, 2, 3), Draws(1, 3, 3),
      Draws(1, 2, 4), Draws(1, 2, 3 + high), Draws(1, 2 + high, 3)};
  std::set<uint64_t> distinct;
  for (const auto& draws : all) distinct.insert(draws.begin(), draws.end());
  EXPECT_EQ(distinct.size(), all.size() * 5);
}

TEST(Random, TheFirstDrawsNeverChange) {
  // Model files depend on them: a change here breaks the promise of the same bits.
  const Words block = Philox4x32({0, kStreamTest, 5, 0}, {42, 0});
  Random random(42, kStreamTest, 5);
  EXPECT_EQ(random.Next(), block[0] | (uint64_t{block[1]} << 32));
  EXPECT_EQ(random.Next(), block[2] | (uint64_t{block[3]} << 32));
}

TEST(Random, BelowCoversItsRangeEvenly) {
  Random random(7, kStreamTest, 0);
  std::array<int, 6> counts = {};
  for (int i = 0; i < 60000; ++i) ++counts.at(random.Below(6));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);  // More than 5 sigma.
}

TEST(Random, BelowOneIsZeroAndBelowZeroIsABug) {
  Random random(7, kStreamTest, 0);
  EXPECT_EQ(random.Below(1), 0u);
  EXPECT_DEATH(random.Below(0), "n >= 1");
}

TEST(Random, BelowReachesTheHighestNumbers) {
  Random random(7, kStreamTest, 0);
  const uint64_t n = (uint64_t{1} << 63) + 1;  // Half of all draws are rejected.
  uint64_t largest = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t draw = random.Below(n);
    ASSERT_LT(draw, n);
    largest = std::max(largest, draw);
  }
  EXPECT_GT(largest, n / 100 * 98);
}

TEST(Random, UniformStaysInItsHalfOpenIntervalWithMeanOneHalf) {
  Random random(3, kStreamTest, 1);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = random.Uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Random, NormalHasMeanZeroVarianceOneAndTails) {
  Random random(3, kStreamTest, 2);
  double sum = 0, squares = 0;
  int beyond_two = 0;
  for (int i = 0; i < 100000; ++i) {
    const double value = random.Normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
    beyond_two += std::abs(value) > 2.0 ? 1 : 0;
  }
  EXPECT_NEAR(sum / 100000, 0.0, 0.02);
  EXPECT_NEAR(squares / 100000, 1.0, 0.03);
  EXPECT_NEAR(beyond_two / 100000.0, 0.0455, 0.004);
}

TEST(Permutation, HoldsEveryNumberOnceAndDependsOnTheStep) {
  std::vector<uint32_t> order = Permutation(1, kStreamTest, 0, 1000);
  EXPECT_EQ(order, Permutation(1, kStreamTest, 0, 1000));
  EXPECT_NE(order, Permutation(1, kStreamTest, 1, 1000));
  std::sort(order.begin(), order.end());
  std::vector<uint32_t> expected(1000);
  std::iota(expected.begin(), expected.end(), 0u);
  EXPECT_EQ(order, expected);
}

TEST(Permutation, OfNothingAndOfOneIsTrivial) {
  EXPECT_TRUE(Permutation(1, kStreamTest, 0, 0).empty());
  EXPECT_THAT(Permutation(1, kStreamTest, 0, 1), testing::ElementsAre(0u));
}

TEST(Permutation, AllOrdersOfThreeAreEquallyLikely) {
  std::array<int, 27> counts = {};
  for (uint64_t step = 0; step < 6000; ++step) {
    const auto order = Permutation(5, kStreamTest, step, 3);
    ++counts.at(order[0] * 9 + order[1] * 3 + order[2]);
  }
  const auto seen = std::count_if(counts.begin(), counts.end(), [](int n) { return n > 0; });
  EXPECT_EQ(seen, 6);
  for (const int count : counts) {
    if (count > 0) {
      EXPECT_NEAR(count, 1000, 150);
    }
  }
}

}  // namespace
}  // namespace topiary
