// Attention over blocks that is trained as in SequentialAttention++, while the choice of blocks
// goes by the Fisher information of their gates: docs/methods/fisher_attention.md.
#ifndef TOPIARY_WORKER_PRUNE_FISHER_ATTENTION_H_
#define TOPIARY_WORKER_PRUNE_FISHER_ATTENTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct FisherAttentionOptions {
  // Pruning begins and ends at these parts of the run; 0 < begin < end <= 1. Before the first
  // choice there must be gradients.
  double begin_fraction = 0.05;
  double end_fraction = 0.5;
  // Steps between two choices of what to prune; 0: max(1, 1 % of the steps between begin and end).
  int64_t refresh_steps = 0;
  // Learning rate of the logits over that of the weights; >= 0. At 0 the attention stays at 1.
  double logits_learning_rate_multiplier = 30;
  // Absent: the weights'. >= 0.
  std::optional<double> logits_weight_decay;
  // What a step leaves of the moving average of the Fisher information; in [0, 1).
  double fisher_decay = 0.98;
};

// An AttentionMethod (attention_method.h) with a softmax for each layer and without a clip. Of each
// block it keeps the moving average over steps
//
//   F_b <- fisher_decay F_b + (1 - fisher_decay) (A_b <d loss / d effective, W>_b)^2,
//
// the square of d loss / d log A_b at fixed A of the others: the empirical Fisher information of
// the gate, which is to second order what the loss rises by without the block, up to a factor that
// all blocks have in common. Blocks of least F go, along CubicSparsity() from `begin_` to
// `end_fraction`, for good. State: the AttentionMethod's, and "fisher/<weight>", float32, one
// number per block.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewFisherAttention(const FisherAttentionOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_FISHER_ATTENTION_H_
