#include "worker/prune/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"

namespace topiary {
namespace {

double LargestLogit(absl::Span<const float> logits) {
  return logits.empty() ? 0.0 : double{*std::max_element(logits.begin(), logits.end())};
}

}  // namespace

AttentionClip AttentionClip::ForDensity(double density) {
  AttentionClip clip;
  clip.enabled = true;
  clip.low = density;
  clip.high = density > 0 ? 1.0 / density : std::numeric_limits<double>::infinity();
  return clip;
}

double AttentionClip::Apply(double attention) const {
  return enabled ? std::min(std::max(attention, low), high) : attention;
}

void BlockAttention(absl::Span<const float> logits, absl::Span<double> attention) {
  CHECK_EQ(logits.size(), attention.size());
  const double largest = LargestLogit(logits);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    attention[i] = std::exp(logits[i] - largest);
    sum += attention[i];
  }
  // N * e / sum and not e * (N / sum): equal logits give N / N, exactly 1.
  const auto count = static_cast<double>(logits.size());
  for (double& a : attention) a = count * a / sum;
}

std::vector<float> LogBlockAttention(absl::Span<const float> logits) {
  const double largest = LargestLogit(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double shift = std::log(static_cast<double>(logits.size())) - largest - std::log(sum);
  std::vector<float> result;
  result.reserve(logits.size());
  for (const float logit : logits) result.push_back(static_cast<float>(logit + shift));
  return result;
}

void AttentionGradient(absl::Span<const double> attention, absl::Span<const float> inner_products,
                       absl::Span<const uint8_t> live, const AttentionClip& clip,
                       absl::Span<double> gradient) {
  const size_t count = attention.size();
  CHECK(inner_products.size() == count && live.size() == count && gradient.size() == count);
  for (size_t i = 0; i < count; ++i) {
    gradient[i] = live[i] != 0 && clip.Passes(attention[i]) ? inner_products[i] : 0.0;
  }
}

void LogitGradient(absl::Span<const double> attention, absl::Span<const double> attention_gradient,
                   absl::Span<float> gradient) {
  const size_t count = attention.size();
  CHECK(attention_gradient.size() == count && gradient.size() == count);
  double common = 0;
  for (size_t i = 0; i < count; ++i) common += attention[i] * attention_gradient[i];
  common /= static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) {
    gradient[i] = static_cast<float>(attention[i] * (attention_gradient[i] - common));
  }
}

}  // namespace topiary
