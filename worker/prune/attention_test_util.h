// The functions of attention.h by value.
#ifndef TOPIARY_WORKER_PRUNE_ATTENTION_TEST_UTIL_H_
#define TOPIARY_WORKER_PRUNE_ATTENTION_TEST_UTIL_H_

#include <vector>

#include "absl/types/span.h"
#include "worker/prune/attention.h"

namespace topiary {

inline std::vector<double> AttentionOf(absl::Span<const float> logits) {
  std::vector<double> attention(logits.size());
  BlockAttention(logits, absl::MakeSpan(attention));
  return attention;
}

inline std::vector<double> AttentionGradientOf(absl::Span<const double> attention,
                                               absl::Span<const float> inner_products,
                                               absl::Span<const uint8_t> live,
                                               const AttentionClip& clip) {
  std::vector<double> gradient(attention.size());
  AttentionGradient(attention, inner_products, live, clip, absl::MakeSpan(gradient));
  return gradient;
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_ATTENTION_TEST_UTIL_H_
