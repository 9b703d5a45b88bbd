// Sequential Attention (Yasuda et al., "Sequential Attention for Feature Selection", ICLR 2023,
// arXiv 2209.14881): greedy selection of features in one training run.
#ifndef TOPIARY_WORKER_FEATURES_SEQUENTIAL_ATTENTION_H_
#define TOPIARY_WORKER_FEATURES_SEQUENTIAL_ATTENTION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/features/feature_selector.h"

namespace topiary {

// Where the paper is silent or its code departs from it, and why these are the defaults:
// docs/methods/feature_selection.md.
struct SequentialAttentionOptions {
  int64_t features_per_step = 1;
  // Part of the run in which all features are read with mask 1.
  double warmup_fraction = 0;
  // Learning rate of the logits over that of the weights; > 0.
  double logits_learning_rate_multiplier = 10;
};

// The mask of the features: 1 where `chosen`, else exp(w_i) / sum_j exp(w_j) over those not chosen.
// The largest logit of those is subtracted first, so that no finite logit overflows and none of a
// chosen feature has a part in it.
std::vector<double> SequentialAttentionMask(absl::Span<const float> logits,
                                            absl::Span<const uint8_t> chosen);

// d loss / d w_i = a_i (h_i - sum_j a_j h_j) over the features not chosen, 0 for chosen ones, where
// a is the mask and h_i = d loss / d a_i.
void SequentialAttentionGradient(absl::Span<const double> mask, absl::Span<const double> h,
                                 absl::Span<const uint8_t> chosen, absl::Span<float> gradient);

// Logits, "logits/features" as trainable state, are 0 at first and again after each choice, with
// the optimizer's moments of them; the features of highest logit are chosen.
// INVALID_ARGUMENT, naming the field, as SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSequentialAttention(
    const SequentialAttentionOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_SEQUENTIAL_ATTENTION_H_
