// The block attention of SequentialAttention++ (Yasuda et al., arXiv 2402.17902) and its gradient.
//
// Pure functions; thread-safe. Sums are taken in double, in the order of the blocks.
#ifndef TOPIARY_WORKER_PRUNE_ATTENTION_H_
#define TOPIARY_WORKER_PRUNE_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace topiary {

// Bounds of the clamp on the attention. No clamp: [0, infinity].
struct AttentionClip {
  double low = 0;
  double high = 0;
  bool enabled = false;
  // [density, 1 / density] on the scale of mean 1; the reading of the paper's printed range that
  // is possible there.
  static AttentionClip ForDensity(double density);
  bool Passes(double attention) const {
    return !enabled || (attention >= low && attention <= high);
  }
  double Apply(double attention) const;
};

// A_b = N exp(L_b) / sum_j exp(L_j) over the N blocks of one softmax, pruned ones included: mean 1,
// and exactly 1 everywhere when all logits are equal. The largest logit is subtracted first, so
// that no finite logit overflows. One entry per block each.
void BlockAttention(absl::Span<const float> logits, absl::Span<double> attention);

// log A_b, exact also where A_b underflows: the score that ranks blocks of several softmaxes.
std::vector<float> LogBlockAttention(absl::Span<const float> logits);

// g_b = d loss / d A_b = live_b <d loss / d effective, W>_b for blocks whose attention the clip
// lets through, else 0: the clamp passes no gradient outside its range. One entry per block each.
void AttentionGradient(absl::Span<const double> attention, absl::Span<const float> inner_products,
                       absl::Span<const uint8_t> live, const AttentionClip& clip,
                       absl::Span<double> gradient);

// d loss / d L_b = A_b (g_b - (1/N) sum_j A_j g_j) over the N blocks of one softmax. The g of a
// pruned block is 0, though its logit moves by the common term. One entry per block each.
void LogitGradient(absl::Span<const double> attention, absl::Span<const double> attention_gradient,
                   absl::Span<float> gradient);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_ATTENTION_H_
