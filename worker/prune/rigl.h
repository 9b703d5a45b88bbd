// RigL (Evci et al., "Rigging the Lottery: Making All Tickets Winners", ICML 2020), in blocks:
// training with a support of constant size that moves.
#ifndef TOPIARY_WORKER_PRUNE_RIGL_H_
#define TOPIARY_WORKER_PRUNE_RIGL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct RigLOptions {
  // alpha: the part of the live blocks of a layer that is replaced, at first; in (0, 1].
  double drop_fraction = 0.3;
  // Delta T: steps between two replacements; >= 1.
  int64_t update_steps = 100;
  // T_end, as a part of the run; in (0, 1].
  double end_fraction = 0.75;
  // Of the support at the start: the job's.
  uint64_t seed = 0;
};

// The support at the start is drawn by chance. Every Delta T steps before T_end, with live blocks
// of each layer in the number n and f(t) = alpha / 2 (1 + cos(pi t / T_end)), floor(f(t) n) blocks
// of least Frobenius norm are dropped, and as many of largest gradient norm ||d loss / d W_b||_F
// are grown, of those that are not live or were just dropped, at 0 unless just dropped (Algorithm 1
// of the paper). Such a step updates no weight. After T_end the support is fixed.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewRigL(const RigLOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_RIGL_H_
