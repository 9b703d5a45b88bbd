// SequentialAttention++ (Yasuda et al., arXiv 2402.17902): differentiable block pruning.
#ifndef TOPIARY_WORKER_PRUNE_SEQUENTIAL_ATTENTION_PP_H_
#define TOPIARY_WORKER_PRUNE_SEQUENTIAL_ATTENTION_PP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/attention_method.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"
#include "worker/prune/phases.h"

namespace topiary {

// Where the paper is silent, and why these are the defaults:
// docs/methods/sequential_attention_pp.md.
struct SequentialAttentionPlusPlusOptions : AttentionOptions {
  // Empty: the preset "single".
  std::vector<PhaseShare> phases;
  // c of ExponentialSparsity(); > 0.
  double schedule_constant = 4;
  // Steps between two choices of what to prune; 0: max(1, 1 % of the phase).
  int64_t mask_refresh_steps = 0;
  bool reset_optimizer_at_phases = true;
};

// An AttentionMethod whose blocks are ranked by their logits, which is by attention; between
// softmaxes (global budget) by log attention. The logits' rate must be above 0.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range, or the last phase is not
// sparse or sparsify (the result would not be pruned).
absl::StatusOr<std::unique_ptr<Method>> NewSequentialAttentionPlusPlus(
    const SequentialAttentionPlusPlusOptions& options, const PruningTarget& target,
    std::vector<MethodLayer> layers, int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SEQUENTIAL_ATTENTION_PP_H_
