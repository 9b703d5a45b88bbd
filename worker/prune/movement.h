// Movement pruning (Sanh et al., "Movement Pruning: Adaptive Sparsity by Fine-Tuning", NeurIPS
// 2020) with one score per block, as Lagunas et al., "Block Pruning For Faster Transformers", EMNLP
// 2021.
#ifndef TOPIARY_WORKER_PRUNE_MOVEMENT_H_
#define TOPIARY_WORKER_PRUNE_MOVEMENT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct MovementOptions {
  // Pruning begins and ends at these parts of the run; 0 < begin < end <= 1. Scores are made from
  // the first step on: before the first choice there must be one.
  double begin_fraction = 0.2;
  double end_fraction = 0.7;
  // Steps between two choices of what to prune; 0: max(1, 1 % of the steps between begin and end).
  int64_t refresh_steps = 0;
};

// The score of a block is -sum over steps of <d loss / d W_b, W_b>, W being the weights of the
// forward pass of the step: section 4 of the paper, summed over the block. It is high where
// weights move away from 0. Pruned blocks have one too (the straight-through estimator), and return
// while the sparsity rises along the cubic of CubicSparsity() from `begin_` to `end_fraction`;
// their weights stay as they were. Then the support is fixed.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewMovement(const MovementOptions& options,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_MOVEMENT_H_
