#include "worker/kernels/dropout_mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace topiary {
namespace {

std::vector<float> Factors(float ratio, uint64_t seed, uint64_t node, uint64_t step, int64_t first,
                           size_t count) {
  StepScalars scalars;
  scalars.step = step;
  std::vector<float> factors(count);
  DropoutFactors({ratio, seed, node, &scalars}, first, absl::MakeSpan(factors));
  return factors;
}

TEST(DropoutMask, DropsTheRatioAndScalesTheRest) {
  const std::vector<float> factors = Factors(0.25f, 1, 0, 0, 0, 100000);
  const auto dropped = std::count(factors.begin(), factors.end(), 0.0f);
  EXPECT_NEAR(static_cast<double>(dropped) / 100000, 0.25, 0.01);
  EXPECT_FLOAT_EQ(*std::max_element(factors.begin(), factors.end()), 1 / 0.75f);
}

TEST(DropoutMask, RatioZeroKeepsEverything) {
  for (float factor : Factors(0, 1, 0, 0, 0, 1000)) EXPECT_EQ(factor, 1.0f);
}

TEST(DropoutMask, ElementsDependOnTheirPlaceOnly) {
  const std::vector<float> all = Factors(0.5f, 9, 2, 7, 0, 64);
  const std::vector<float> tail = Factors(0.5f, 9, 2, 7, 32, 29);
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), all.begin() + 32));
}

TEST(DropoutMask, SeedNodeAndStepEachGiveAnotherMask) {
  const std::vector<float> base = Factors(0.5f, 1, 1, 1, 0, 256);
  EXPECT_NE(base, Factors(0.5f, 2, 1, 1, 0, 256));
  EXPECT_NE(base, Factors(0.5f, 1, 2, 1, 0, 256));
  EXPECT_NE(base, Factors(0.5f, 1, 1, 2, 0, 256));
  EXPECT_NE(base, Factors(0.5f, 1, 1, 1 + (uint64_t{1} << 32), 0, 256));
  EXPECT_EQ(base, Factors(0.5f, 1, 1, 1, 0, 256));
}

}  // namespace
}  // namespace topiary
