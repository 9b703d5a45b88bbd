#include "worker/prune/attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "common/random.h"
#include "worker/prune/attention_test_util.h"

namespace topiary {
namespace {

std::vector<float> RandomLogits(int count, float scale, uint64_t seed) {
  Random random(seed, 0, 0);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = scale * random.Normal();
  return logits;
}

TEST(BlockAttention, IsExactlyOneWhereAllLogitsAreEqual) {
  for (const int count : {1, 3, 7, 100, 4099}) {
    for (const float logit : {0.0F, 1.5F, -80.0F}) {
      for (const double a : AttentionOf(std::vector<float>(count, logit))) EXPECT_EQ(a, 1.0);
    }
  }
}

TEST(BlockAttention, AddsUpToTheNumberOfBlocks) {
  for (const float scale : {0.1F, 1.0F, 10.0F, 50.0F}) {
    const std::vector<double> attention = AttentionOf(RandomLogits(1000, scale, 7));
    EXPECT_NEAR(std::accumulate(attention.begin(), attention.end(), 0.0), 1000.0, 1e-9);
  }
}

TEST(BlockAttention, SurvivesLogitsThatWouldOverflow) {
  const std::vector<double> attention = AttentionOf({1000.0F, 0.0F, 1000.0F, -1000.0F});
  EXPECT_DOUBLE_EQ(attention[0], 2.0);
  EXPECT_EQ(attention[1], 0.0);
  EXPECT_DOUBLE_EQ(attention[2], 2.0);
}

TEST(LogBlockAttention, IsTheLogarithmAlsoWhereTheAttentionUnderflows) {
  const std::vector<float> logits = {0.5F, -1.0F, 2.0F};
  const std::vector<double> attention = AttentionOf(logits);
  const std::vector<float> logs = LogBlockAttention(logits);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(logs[i], std::log(attention[i]), 1e-6);
  const std::vector<float> extreme = LogBlockAttention({0.0F, -2000.0F, -3000.0F});
  EXPECT_GT(extreme[1], extreme[2]);
}

TEST(AttentionClip, ClampsToDensityAndItsInverse) {
  const AttentionClip clip = AttentionClip::ForDensity(0.25);
  EXPECT_EQ(clip.Apply(0.1), 0.25);
  EXPECT_EQ(clip.Apply(1.0), 1.0);
  EXPECT_EQ(clip.Apply(9.0), 4.0);
  EXPECT_FALSE(clip.Passes(0.1));
  EXPECT_TRUE(clip.Passes(0.25));
  EXPECT_TRUE(clip.Passes(4.0));
  EXPECT_FALSE(clip.Passes(4.1));
}

TEST(AttentionClip, DisabledLetsEverythingThrough) {
  EXPECT_EQ(AttentionClip().Apply(1e6), 1e6);
  EXPECT_TRUE(AttentionClip().Passes(1e6));
}

// A loss with known gradients: 0.5 * |sum_b e_b - target|^2 with e = live * clip(A(L)) * W, each
// block a vector of `width` weights.
struct Problem {
  int blocks = 0;
  int width = 0;
  std::vector<float> logits;
  std::vector<double> weights;
  std::vector<double> target;
  std::vector<uint8_t> live;
  AttentionClip clip;

  std::vector<double> Residual(const std::vector<float>& l, const std::vector<double>& w) const {
    const std::vector<double> attention = AttentionOf(l);
    std::vector<double> residual(width);
    for (int j = 0; j < width; ++j) {
      residual[j] = -target[j];
      for (int b = 0; b < blocks; ++b) {
        // The square makes d loss / d effective differ from block to block.
        const double e = live[b] * clip.Apply(attention[b]) * w[b * width + j];
        residual[j] += (1 + 0.1 * b) * e;
      }
    }
    return residual;
  }
  double Loss(const std::vector<float>& l, const std::vector<double>& w) const {
    double loss = 0;
    for (const double r : Residual(l, w)) loss += 0.5 * r * r;
    return loss;
  }
  // d loss / d effective of block b, element j.
  double EffectiveGradient(const std::vector<double>& residual, int b, int j) const {
    return (1 + 0.1 * b) * residual[j];
  }
};

Problem MakeProblem(bool masked, bool clipped) {
  Problem p;
  p.blocks = 9;
  p.width = 4;
  p.logits = RandomLogits(p.blocks, 1.0F, 11);
  Random random(12, 0, 0);
  for (int i = 0; i < p.blocks * p.width; ++i) p.weights.push_back(random.Normal());
  for (int i = 0; i < p.width; ++i) p.target.push_back(random.Normal());
  p.live.assign(p.blocks, 1);
  if (masked) p.live = {1, 0, 1, 1, 0, 1, 0, 1, 1};
  if (clipped) p.clip = AttentionClip::ForDensity(0.5);
  return p;
}

class AttentionGradients : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  const Problem problem_ = MakeProblem(std::get<0>(GetParam()), std::get<1>(GetParam()));
};

TEST_P(AttentionGradients, OfTheLogitsMatchFiniteDifferences) {
  const Problem& p = problem_;
  const std::vector<double> attention = AttentionOf(p.logits);
  const std::vector<double> residual = p.Residual(p.logits, p.weights);
  std::vector<float> products(p.blocks, 0.0F);
  int outside = 0;
  for (int b = 0; b < p.blocks; ++b) {
    double product = 0;
    for (int j = 0; j < p.width; ++j) {
      product += p.EffectiveGradient(residual, b, j) * p.weights[b * p.width + j];
    }
    products[b] = static_cast<float>(product);
    outside += p.clip.Passes(attention[b]) ? 0 : 1;
  }
  if (p.clip.enabled) {
    ASSERT_GT(outside, 0) << "the case clips nothing";
  }
  std::vector<float> gradient(p.blocks);
  LogitGradient(attention, AttentionGradientOf(attention, products, p.live, p.clip),
                absl::MakeSpan(gradient));
  for (int b = 0; b < p.blocks; ++b) {
    const float h = 1.0F / 1024;  // Exact in float, so that the step is what it says.
    std::vector<float> up = p.logits;
    std::vector<float> down = p.logits;
    up[b] += h;
    down[b] -= h;
    const double numeric =
        (p.Loss(up, p.weights) - p.Loss(down, p.weights)) / (double{up[b]} - double{down[b]});
    EXPECT_NEAR(gradient[b], numeric, 2e-5 * (1 + std::abs(numeric))) << "logit " << b;
  }
}

TEST_P(AttentionGradients, OfTheWeightsAreScaleTimesTheEffectiveGradient) {
  const Problem& p = problem_;
  const std::vector<double> attention = AttentionOf(p.logits);
  const std::vector<double> residual = p.Residual(p.logits, p.weights);
  for (int b = 0; b < p.blocks; ++b) {
    for (int j = 0; j < p.width; ++j) {
      const double scale = p.live[b] * p.clip.Apply(attention[b]);
      const double analytic = scale * p.EffectiveGradient(residual, b, j);
      std::vector<double> up = p.weights;
      std::vector<double> down = p.weights;
      up[b * p.width + j] += 1e-5;
      down[b * p.width + j] -= 1e-5;
      const double numeric = (p.Loss(p.logits, up) - p.Loss(p.logits, down)) / 2e-5;
      EXPECT_NEAR(analytic, numeric, 1e-7 * (1 + std::abs(numeric)));
    }
  }
}

std::string CaseName(const testing::TestParamInfo<std::tuple<bool, bool>>& info) {
  return std::string(std::get<0>(info.param) ? "Masked" : "AllLive") +
         (std::get<1>(info.param) ? "Clipped" : "Unclipped");
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionGradients,
                         testing::Combine(testing::Bool(), testing::Bool()), CaseName);

TEST(LogitGradient, AddsUpToZeroWithoutMaskAndClip) {
  // The softmax does not change when all logits move together.
  const std::vector<float> logits = RandomLogits(50, 1.0F, 3);
  const std::vector<float> products = RandomLogits(50, 2.0F, 4);
  std::vector<float> gradient(50);
  const std::vector<double> attention = AttentionOf(logits);
  LogitGradient(
      attention,
      AttentionGradientOf(attention, products, std::vector<uint8_t>(50, 1), AttentionClip()),
      absl::MakeSpan(gradient));
  EXPECT_NEAR(std::accumulate(gradient.begin(), gradient.end(), 0.0), 0.0, 1e-4);
}

TEST(LogitGradient, MovesAMaskedLogitByTheCommonTermOnly) {
  const std::vector<double> attention = {1.0, 1.0};
  std::vector<float> gradient(2);
  LogitGradient(
      attention,
      AttentionGradientOf(attention, {4.0F, 100.0F}, std::vector<uint8_t>{1, 0}, AttentionClip()),
      absl::MakeSpan(gradient));
  EXPECT_FLOAT_EQ(gradient[0], 4.0F - 2.0F);
  EXPECT_FLOAT_EQ(gradient[1], -2.0F);
}

}  // namespace
}  // namespace topiary
