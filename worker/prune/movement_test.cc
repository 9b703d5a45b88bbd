#include "worker/prune/movement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

using testing::HasSubstr;

constexpr int64_t kSteps = 100;
constexpr int64_t kBlocks = 150;

std::unique_ptr<Method> MovementWith(const MovementOptions& options) {
  PruningTarget target;
  target.sparsity = 0.9;
  return NewMovement(options, target, {LinearLayer("fc", 40, 60, {4, 4})}, kSteps).value();
}

MovementOptions EachStep() {
  MovementOptions options;
  options.refresh_steps = 1;
  return options;
}

// The inner products of gradient and weight after step `step`.
std::vector<float> Products(int64_t step) { return RandomVector(kBlocks, 100 + step); }

void RunSteps(Method* method, int64_t begin, int64_t end) {
  FakeWeights weights({});
  for (int64_t step = begin; step < end; ++step) {
    method->BeginStep(step, weights);
    const std::vector<float> products = Products(step);
    method->EndStep({products});
  }
}

// As the paper sums them.
std::vector<float> ScoresBefore(int64_t step) {
  std::vector<float> scores(kBlocks);
  for (int64_t s = 0; s < step; ++s) {
    const std::vector<float> products = Products(s);
    for (int64_t b = 0; b < kBlocks; ++b) scores[b] -= products[b];
  }
  return scores;
}

TEST(Movement, KeepsTheBlocksOfHighestAccumulatedScoreAtEachStep) {
  const auto method = MovementWith(EachStep());
  FakeWeights weights({});
  for (int64_t step = 0; step < 70; ++step) {
    method->BeginStep(step, weights);
    const double sparsity = step < 20 ? 0 : CubicSparsity(0, 0.9, (step - 19) / 50.0);
    EXPECT_EQ(method->support(0),
              SelectTopBlocks(ScoresBefore(step), {}, KeptBlocks(sparsity, kBlocks)))
        << step;
    const std::vector<float> products = Products(step);
    method->EndStep({products});
  }
  EXPECT_EQ(weights.reads, 0);
}

TEST(Movement, APrunedBlockReturnsWhereItsScoreRises) {
  const auto method = MovementWith(EachStep());
  FakeWeights weights({});
  std::vector<float> products(kBlocks, -1.0F);
  products[3] = 1.0F;  // It moves to 0.
  for (int64_t step = 0; step <= 20; ++step) {
    method->BeginStep(step, weights);
    method->EndStep({products});
  }
  EXPECT_EQ(method->support(0)[3], 0);
  products[3] = -1000.0F;
  method->EndStep({products});
  const int64_t live = LiveBlocks(method->support(0));
  const int64_t changed = method->BeginStep(21, weights).changed_blocks;
  EXPECT_EQ(method->support(0)[3], 1);
  EXPECT_EQ(changed, live - LiveBlocks(method->support(0)) + 2) << "one came for one that went";
}

TEST(Movement, TheSupportOfTheSparsePhaseStaysWhateverTheScoresDo) {
  const auto method = MovementWith({});
  RunSteps(method.get(), 0, 71);
  const Support at_entry = method->support(0);
  EXPECT_EQ(LiveBlocks(at_entry), 15);
  RunSteps(method.get(), 71, kSteps);
  EXPECT_EQ(method->support(0), at_entry);
}

TEST(Movement, ResumesWithTheSameScores) {
  const auto straight = MovementWith({});
  RunSteps(straight.get(), 0, kSteps);
  for (const int64_t step : {5, 20, 45, 70}) {
    const auto first = MovementWith({});
    RunSteps(first.get(), 0, step);
    const auto second = MovementWith({});
    ASSERT_OK(second->Load(first->Save()));
    RunSteps(second.get(), step, kSteps);
    EXPECT_EQ(second->support(0), straight->support(0)) << step;
  }
}

struct BadOptions {
  const char* what;
  MovementOptions options;
};

class MovementRefuses : public testing::TestWithParam<BadOptions> {};

TEST_P(MovementRefuses, NamingTheField) {
  EXPECT_THAT(
      NewMovement(GetParam().options, {}, {LinearLayer("fc", 8, 8, {4, 4})}, kSteps).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().what)));
}

INSTANTIATE_TEST_SUITE_P(Options, MovementRefuses,
                         testing::Values(BadOptions{"movement.begin_fraction", {0, 0.7, 0}},
                                         BadOptions{"movement.begin_fraction", {0.001, 0.7, 0}},
                                         BadOptions{"end_fraction", {0.5, 0.5, 0}},
                                         BadOptions{"movement.refresh_steps", {0.2, 0.7, -1}}));

}  // namespace
}  // namespace topiary
