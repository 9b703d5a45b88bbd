#include "worker/prune/iht.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr int64_t kSteps = 100;
constexpr int64_t kElements = 40 * 60;

// 150 blocks.
MethodLayer Layer() { return LinearLayer("fc", 40, 60, {4, 4}); }

std::unique_ptr<Method> IhtWith(const IhtOptions& options) {
  PruningTarget target;
  target.sparsity = 0.9;
  return NewIht(options, target, {Layer()}, kSteps).value();
}

// H_15 of `weights`.
std::vector<float> Thresholded(std::vector<float> weights) {
  const std::vector<double> squares = Layer().partition->SumsOfSquares(weights);
  const Support kept = SelectTopBlocks(std::vector<float>(squares.begin(), squares.end()), {}, 15);
  Layer().partition->ZeroPruned(kept, absl::MakeSpan(weights));
  return weights;
}

std::vector<float> ValuesOf(FakeWeights* weights) {
  const absl::Span<const float> values = weights->RawWeights(0);
  return {values.begin(), values.end()};
}

// Stands for the update of an optimizer, which moves all weights since all scales are 1, so far
// that blocks at 0 come to outgrow others.
void Update(int64_t step, std::vector<float>* weights) {
  const std::vector<float> added = RandomVector(kElements, 50 + step);
  for (int64_t i = 0; i < kElements; ++i) (*weights)[i] = 0.5F * (*weights)[i] + added[i];
}

TEST(Iht, IsTheThresholdOfTheUpdatedWeightsAtEachStep) {
  const auto method = IhtWith({});
  std::vector<float> expected = RandomVector(kElements, 1);
  FakeWeights weights({expected});
  Support before;
  int64_t returned = 0;
  for (int64_t step = 0; step < 70; ++step) {
    method->BeginStep(step, weights);
    EXPECT_THAT(ScalesOf(*method, 0), Each(1.0F)) << step;
    std::vector<float> updated = ValuesOf(&weights);
    Update(step, &updated);
    std::copy(updated.begin(), updated.end(), weights.MutableRawWeights(0).begin());
    method->AfterUpdate(0.1, weights);
    Update(step, &expected);
    if (step >= 20) expected = Thresholded(expected);
    EXPECT_EQ(ValuesOf(&weights), expected) << step;
    EXPECT_EQ(LiveBlocks(method->support(0)), step < 20 ? 150 : 15);
    for (size_t b = 0; b < before.size(); ++b) {
      returned += before[b] == 0 && method->support(0)[b] != 0 ? 1 : 0;
    }
    before = method->support(0);
  }
  EXPECT_GT(returned, 0) << "the case lets no block return";
}

TEST(Iht, LeavesWhatIsNotANumberToBeSeenAsDivergence) {
  const auto method = IhtWith({});
  std::vector<float> values = RandomVector(kElements, 1);
  values[7] = std::nanf("");
  FakeWeights weights({values});
  for (const int64_t step : {0, 30}) method->BeginStep(step, weights);
  method->AfterUpdate(0.1, weights);
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
  EXPECT_TRUE(std::isnan(ValuesOf(&weights)[7]));
}

TEST(Iht, FixesTheSupportAtItsEndAndMasksTheRest) {
  const auto method = IhtWith({});
  FakeWeights weights({RandomVector(kElements, 2)});
  for (int64_t step = 0; step < 70; ++step) {
    method->BeginStep(step, weights);
    method->AfterUpdate(0.1, weights);
  }
  const Support chosen = method->support(0);
  FakeWeights others({RandomVector(kElements, 3)});
  for (int64_t step = 70; step < kSteps; ++step) {
    method->BeginStep(step, others);
    method->AfterUpdate(0.1, others);
    const std::vector<float> scales = ScalesOf(*method, 0);
    for (size_t b = 0; b < scales.size(); ++b) EXPECT_EQ(scales[b], float(chosen[b]));
  }
  EXPECT_EQ(ValuesOf(&others), RandomVector(kElements, 3)) << "nothing is thresholded any more";
}

TEST(Iht, EndsPrunedAlsoWhereThresholdingGoesOnToTheEnd) {
  const auto method = IhtWith({0, 1});
  FakeWeights weights({RandomVector(kElements, 4)});
  for (int64_t step = 0; step < kSteps; ++step) {
    method->BeginStep(step, weights);
    method->AfterUpdate(0.1, weights);
  }
  EXPECT_EQ(LiveBlocks(method->support(0)), 15);
  EXPECT_EQ(ValuesOf(&weights), Thresholded(RandomVector(kElements, 4)));
}

TEST(Iht, RefusesAStretchOutOfRange) {
  EXPECT_THAT(NewIht({0.7, 0.7}, {}, {Layer()}, kSteps).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("iht: begin_fraction")));
}

}  // namespace
}  // namespace topiary
