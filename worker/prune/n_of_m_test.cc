#include "worker/prune/n_of_m.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/magnitude.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;

std::shared_ptr<const BlockPartition> Entries(int64_t inputs, int64_t outputs) {
  return LinearLayer("fc", inputs, outputs, {1, 1}).partition;
}

TEST(NOfM, KeepsTheBestOfEachRunOfInputs) {
  // 6 inputs, 2 outputs; scores by input, then output. Runs of inputs 0-3 and 4-5.
  const std::vector<float> scores = {1, 9,  //
                                     4, 2,  //
                                     3, 1,  //
                                     2, 5,  //
                                     8, 0,  //
                                     7, 6};
  const auto partition = Entries(6, 2);
  EXPECT_EQ(KeptElements(*partition, {2, 4}), 8);
  EXPECT_THAT(SelectNOfM(*partition, {2, 4}, scores, {}, 8), ElementsAre(0, 1,  //
                                                                         1, 0,  //
                                                                         1, 0,  //
                                                                         0, 1,  //
                                                                         1, 1,  //
                                                                         1, 1));
  EXPECT_EQ(KeptElements(*partition, {1, 4}), 4);
  EXPECT_THAT(SelectNOfM(*partition, {1, 4}, scores, {}, 4), ElementsAre(0, 1,  //
                                                                         1, 0,  //
                                                                         0, 0,  //
                                                                         0, 0,  //
                                                                         1, 0,  //
                                                                         0, 1));
}

TEST(NOfM, WhatIsKeptBeyondThatIsTheBestOfAll) {
  const std::vector<float> scores = {1, 9,  //
                                     4, 2,  //
                                     3, 1,  //
                                     2, 5};
  // 1:4 keeps the 4 and the 9; the best of the others are the 5 and the 3.
  EXPECT_THAT(SelectNOfM(*Entries(4, 2), {1, 4}, scores, {}, 4), ElementsAre(0, 1,  //
                                                                             1, 0,  //
                                                                             1, 0,  //
                                                                             0, 1));
}

TEST(NOfM, ChoosesAmongTheLiveAlone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> scores = {9, nan, 7, 6};
  EXPECT_THAT(SelectNOfM(*Entries(4, 1), {2, 4}, scores, {0, 1, 1, 1}, 2), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(SelectNOfM(*Entries(4, 1), {2, 4}, scores, {0, 1, 0, 1}, 2), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(SelectNOfM(*Entries(4, 1), {2, 4}, scores, {0, 0, 0, 1}, 2), ElementsAre(0, 0, 0, 1));
}

// The most that a run of `m` inputs of an output has live.
int64_t FullestRun(const Support& support, int64_t inputs, int64_t outputs, int64_t m) {
  int64_t most = 0;
  for (int64_t output = 0; output < outputs; ++output) {
    for (int64_t begin = 0; begin < inputs; begin += m) {
      int64_t live = 0;
      for (int64_t i = begin; i < std::min(inputs, begin + m); ++i) {
        live += support[i * outputs + output];
      }
      most = std::max(most, live);
    }
  }
  return most;
}

// Step by step fewer, and in the end exactly two of four.
TEST(NOfM, IsWhatGradualPruningComesTo) {
  constexpr int64_t kInputs = 30, kOutputs = 7, kSteps = 40;
  PruningTarget target;
  target.n_of_m = NOfM{2, 4};
  target.sparsity = target.n_of_m->sparsity();
  const MethodLayer layer = LinearLayer("fc", kInputs, kOutputs, {1, 1});
  MagnitudeOptions options;
  options.refresh_steps = 1;
  ASSERT_OK_AND_ASSIGN(const auto method, NewMagnitudeMethod(options, target, {layer}, kSteps));
  FakeWeights weights({RandomVector(kInputs * kOutputs, 3)});
  int64_t live = kInputs * kOutputs;
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    const int64_t now = LiveBlocks(method->support(0));
    EXPECT_LE(now, live) << "step " << step;
    EXPECT_GE(now, KeptElements(*layer.partition, *target.n_of_m)) << "step " << step;
    live = now;
  }
  EXPECT_EQ(live, (7 * 2 + 2) * kOutputs) << "the last run of two inputs keeps both";
  EXPECT_EQ(FullestRun(method->support(0), kInputs, kOutputs, 4), 2);
}

}  // namespace
}  // namespace topiary
