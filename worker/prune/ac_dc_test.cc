#include "worker/prune/ac_dc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kSteps = 100;

PruningTarget Target() {
  PruningTarget target;
  target.sparsity = 0.9;
  return target;
}

// 150 blocks.
MethodLayer Layer() { return LinearLayer("fc", 40, 60, {4, 4}); }

std::unique_ptr<Method> AcDcWith(const AcDcOptions& options) {
  return NewAcDc(options, Target(), {Layer()}, kSteps).value();
}

// Dense to step 40, sparse to 60, dense to 80, sparse to 100.
AcDcOptions TwoCycles() {
  AcDcOptions options;
  options.phases = {{PhaseKind::kDense, 0.4},
                    {PhaseKind::kSparse, 0.2},
                    {PhaseKind::kDense, 0.2},
                    {PhaseKind::kSparse, 0.2}};
  return options;
}

// Epochs 10, 20 .. 70 and 85 of 100 compress, 15, 25 .. 65 and 75 decompress.
TEST(AcDc, FollowsTheScheduleOfThePaperOnImagenet) {
  const auto method = AcDcWith({});
  FakeWeights weights({RandomVector(40 * 60, 1)});
  std::vector<int64_t> compressed;
  std::vector<int64_t> decompressed;
  for (int64_t step = 0; step < kSteps; ++step) {
    const StepActions actions = method->BeginStep(step, weights);
    const int64_t live = LiveBlocks(method->support(0));
    EXPECT_TRUE(live == 150 || live == 15) << live;
    if (actions.phase_begins) (live == 15 ? compressed : decompressed).push_back(step);
  }
  EXPECT_THAT(compressed, ElementsAre(10, 20, 30, 40, 50, 60, 70, 85));
  EXPECT_THAT(decompressed, ElementsAre(0, 15, 25, 35, 45, 55, 65, 75));
}

// Epochs 10, 50, 90, 130 and 170 of 200 compress, 30, 70, 110 and 150 decompress.
TEST(AcDc, FollowsTheScheduleOfThePaperOnCifar10) {
  AcDcOptions options;
  options.phases = PhasePreset("ac_dc_cifar10").value();
  const auto method = NewAcDc(options, Target(), {Layer()}, 200).value();
  std::vector<int64_t> begins;
  for (const Phase& phase : method->plan().phases()) begins.push_back(phase.begin);
  EXPECT_THAT(begins, ElementsAre(0, 10, 30, 50, 70, 90, 110, 130, 150, 170));
  EXPECT_EQ(method->plan().phases().back().kind, PhaseKind::kSparse);
}

TEST(AcDc, KeepsTheBlocksOfLargestFrobeniusNormAtTheStartOfASparsePhase) {
  const auto method = AcDcWith(TwoCycles());
  FakeWeights weights({RandomVector(40 * 60, 2)});
  for (int64_t step = 0; step <= 40; ++step) method->BeginStep(step, weights);
  const std::vector<double> squares = Layer().partition->SumsOfSquares(weights.RawWeights(0));
  const Support expected =
      SelectTopBlocks(std::vector<float>(squares.begin(), squares.end()), {}, 15);
  EXPECT_EQ(method->support(0), expected);
  FakeWeights others({RandomVector(40 * 60, 3)});
  for (int64_t step = 41; step < 60; ++step) method->BeginStep(step, others);
  EXPECT_EQ(method->support(0), expected) << "fixed while the phase lasts";
}

TEST(AcDc, ASecondSparsePhaseChoosesAnew) {
  const auto method = AcDcWith(TwoCycles());
  FakeWeights weights({RandomVector(40 * 60, 4)});
  for (int64_t step = 0; step < 60; ++step) method->BeginStep(step, weights);
  const Support first = method->support(0);
  method->BeginStep(60, weights);
  FakeWeights others({RandomVector(40 * 60, 5)});
  for (int64_t step = 61; step < kSteps; ++step) method->BeginStep(step, others);
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
  EXPECT_NE(method->support(0), first);
}

// What the raw weights are at the first step of the second dense phase.
std::vector<float> WeightsAtDecompression(const AcDcOptions& options, Support* pruned_until_then) {
  const auto method = AcDcWith(options);
  FakeWeights weights({RandomVector(40 * 60, 6)});
  for (int64_t step = 0; step < 60; ++step) method->BeginStep(step, weights);
  *pruned_until_then = method->support(0);
  method->BeginStep(60, weights);
  EXPECT_THAT(ScalesOf(*method, 0), Each(1.0F));
  const absl::Span<const float> values = weights.RawWeights(0);
  return {values.begin(), values.end()};
}

TEST(AcDc, BlocksThatReturnStartAtZeroAndOthersKeepTheirValues) {
  Support live;
  const std::vector<float> after = WeightsAtDecompression(TwoCycles(), &live);
  std::vector<float> expected = RandomVector(40 * 60, 6);
  Layer().partition->ZeroPruned(live, absl::MakeSpan(expected));
  EXPECT_EQ(after, expected);
}

TEST(AcDc, BlocksThatReturnKeepTheirValuesWhereToldSo) {
  AcDcOptions options = TwoCycles();
  options.restart_at_zero = false;
  Support live;
  EXPECT_EQ(WeightsAtDecompression(options, &live), RandomVector(40 * 60, 6));
}

TEST(AcDc, ResetsTheOptimizerAtEachPhaseButTheFirstUnlessToldNotTo) {
  for (const bool reset : {true, false}) {
    AcDcOptions options = TwoCycles();
    options.reset_optimizer_at_phases = reset;
    const auto method = AcDcWith(options);
    FakeWeights weights({RandomVector(40 * 60, 7)});
    std::vector<int64_t> resets;
    for (int64_t step = 0; step < kSteps; ++step) {
      if (method->BeginStep(step, weights).reset_optimizer) resets.push_back(step);
    }
    EXPECT_EQ(resets, reset ? std::vector<int64_t>({40, 60, 80}) : std::vector<int64_t>());
  }
}

TEST(AcDc, RefusesPhasesThatItDoesNotHave) {
  AcDcOptions options;
  options.phases = {{PhaseKind::kDense, 1}, {PhaseKind::kSparsify, 1}, {PhaseKind::kSparse, 1}};
  EXPECT_THAT(NewAcDc(options, Target(), {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ac_dc.phases[1]")));
  options.phases = {{PhaseKind::kSparse, 1}, {PhaseKind::kDense, 1}};
  EXPECT_THAT(NewAcDc(options, Target(), {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("last phase is dense")));
}

}  // namespace
}  // namespace topiary
