// Random pruning: which blocks go is drawn by chance. What a method gains over it is what its
// choice of blocks is worth (Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR
// 2022).
#ifndef TOPIARY_WORKER_PRUNE_RANDOM_PRUNING_H_
#define TOPIARY_WORKER_PRUNE_RANDOM_PRUNING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct RandomPruningOptions {
  // Dense training, one cut at this part of the steps, then training of what is left; in [0, 1).
  double at_fraction = 0;
  // The job's: the same seed draws the same blocks.
  uint64_t seed = 0;
};

// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewRandomPruning(const RandomPruningOptions& options,
                                                         const PruningTarget& target,
                                                         std::vector<MethodLayer> layers,
                                                         int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_RANDOM_PRUNING_H_
