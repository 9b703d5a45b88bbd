#include "worker/prune/scaled_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/prune/block_runs.h"
#include "worker/prune/method_test_util.h"
#include "worker/prune/random_pruning.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CandidatePart Part(const std::string& weight, const Shape& shape, int axis,
                   const std::vector<int>& blocks) {
  return {weight, shape.element_count(), RunsOfSlices(shape, axis, blocks)};
}

MethodLayer Group(const std::string& name, int64_t count, std::vector<CandidatePart> scaled) {
  return {name, nullptr, std::nullopt,
          std::make_shared<const CandidateGroup>(name, count, std::move(scaled),
                                                 std::vector<CandidatePart>())};
}

std::unique_ptr<Method> Random(std::vector<MethodLayer> layers) {
  PruningTarget target;
  target.sparsity = 0.5;
  auto method = NewRandomPruning({}, target, std::move(layers), 4).value();
  FakeWeights none({});
  method->BeginStep(0, none);
  return method;
}

TEST(ScaledWeights, BlocksOfOneWeightAreThoseOfItsLayer) {
  const auto layers = {LinearLayer("w", 4, 6, {2, 2})};
  ASSERT_OK_AND_ASSIGN(ScaledWeights scaled, ScaledWeights::Create(layers));
  ASSERT_EQ(scaled.weights().size(), 1u);
  EXPECT_EQ(scaled.weights()[0].name, "w");
  EXPECT_EQ(scaled.weights()[0].runs, layers.begin()->partition->runs());
  const auto method = Random(layers);
  std::vector<float> scales(6, -1);
  scaled.CopyScales(*method, 0, absl::MakeSpan(scales));
  EXPECT_EQ(scales, ScalesOf(*method, 0));
  const std::vector<float> products = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(scaled.InnerProducts({products})[0].data(), products.data());
}

// Kernels see them in the order of memory, the method in its own.
TEST(ScaledWeights, SingleElementsAreNumberedAsTheyLieInMemory) {
  const auto layers = {LinearLayer("w", 3, 40, {1, 1})};
  const PrunableLayer& layer = layers.begin()->partition->layer();
  ASSERT_OK_AND_ASSIGN(ScaledWeights scaled, ScaledWeights::Create(layers));
  const BlockRuns& runs = *scaled.weights()[0].runs;
  EXPECT_EQ(runs.block_count, 120);
  for (const BlockRun& run : runs.runs) {
    for (int64_t i = 0; i < run.length; ++i) EXPECT_EQ(run.BlockOf(i), run.At(i));
  }
  const auto method = Random(layers);
  std::vector<float> scales(120, -1), products(120), expected(120);
  scaled.CopyScales(*method, 0, absl::MakeSpan(scales));
  const std::vector<float> of_method = ScalesOf(*method, 0);
  for (int64_t block = 0; block < 120; ++block) {
    const BlockPosition at = layers.begin()->partition->Position(block);
    const int64_t place = layer.Offset(at.group, at.row, at.col);
    EXPECT_EQ(scales[place], of_method[block]);
    products[place] = static_cast<float>(place);
    expected[block] = static_cast<float>(place);
  }
  EXPECT_THAT(scaled.InnerProducts({products})[0], testing::ElementsAreArray(expected));
}

// "a" reads two groups and has a column of neither; candidate 1 of "g" has nothing in "b".
TEST(ScaledWeights, CandidatesHaveSlicesOfSeveralWeights) {
  const std::vector<MethodLayer> layers = {
      Group("g", 3,
            {Part("a", Shape({2, 6}), 1, {0, 1, 2, -1, -1, -1}),
             Part("b", Shape({4, 2}), 0, {2, 0, 0, 2})}),
      Group("h", 2, {Part("a", Shape({2, 6}), 1, {-1, -1, -1, 1, 0, -1})})};
  ASSERT_OK_AND_ASSIGN(ScaledWeights scaled, ScaledWeights::Create(layers));
  ASSERT_EQ(scaled.weights().size(), 2u);
  EXPECT_EQ(scaled.weights()[0].name, "a");
  EXPECT_EQ(scaled.weights()[0].runs->block_count, 6);
  EXPECT_EQ(scaled.weights()[1].name, "b");
  EXPECT_EQ(scaled.weights()[1].runs->block_count, 2);

  const auto method = Random(layers);
  const auto scale_of = [&](int weight, int64_t element) {
    const BlockRuns& runs = *scaled.weights()[weight].runs;
    std::vector<float> scales(runs.block_count, -1);
    scaled.CopyScales(*method, weight, absl::MakeSpan(scales));
    for (const BlockRun& run : runs.runs) {
      for (int32_t i = 0; i < run.length; ++i) {
        if (run.offset + int64_t{i} * run.stride == element) return scales.at(run.block);
      }
    }
    return -1.0F;
  };
  for (const int64_t row : {0, 1}) {
    EXPECT_EQ(scale_of(0, row * 6 + 0), method->scales(0)[0]);
    EXPECT_EQ(scale_of(0, row * 6 + 1), method->scales(0)[1]);
    EXPECT_EQ(scale_of(0, row * 6 + 2), method->scales(0)[2]);
    EXPECT_EQ(scale_of(0, row * 6 + 3), method->scales(1)[1]);
    EXPECT_EQ(scale_of(0, row * 6 + 4), method->scales(1)[0]);
    EXPECT_EQ(scale_of(0, row * 6 + 5), 1);
    EXPECT_EQ(scale_of(1, 0 + row), method->scales(0)[2]);
    EXPECT_EQ(scale_of(1, 2 + row), method->scales(0)[0]);
  }

  // Blocks are numbered as they first occur: of "a" as the candidates, of "b" 2 and then 0.
  const std::vector<float> of_a = {1, 2, 4, 8, 16, 1000};
  const std::vector<float> of_b = {32, 64};
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto products = scaled.InnerProducts({of_a, of_b});
    ASSERT_EQ(products.size(), 2u);
    EXPECT_THAT(products[0], ElementsAre(1 + 64, 2, 4 + 32));
    EXPECT_THAT(products[1], ElementsAre(16, 8));
  }
}

TEST(ScaledWeights, RefusesAnElementOfTwoCandidates) {
  EXPECT_THAT(ScaledWeights::Create({Group("g", 1, {Part("a", Shape({2, 2}), 1, {0, -1})}),
                                     Group("h", 1, {Part("a", Shape({2, 2}), 0, {-1, 0})})})
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'a' belong to two")));
}

}  // namespace
}  // namespace topiary
