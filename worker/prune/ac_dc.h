// AC/DC (Peste et al., 2021): alternating compressed and decompressed training, in blocks.
#ifndef TOPIARY_WORKER_PRUNE_AC_DC_H_
#define TOPIARY_WORKER_PRUNE_AC_DC_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"
#include "worker/prune/phases.h"

namespace topiary {

struct AcDcOptions {
  // Dense and sparse phases, the last one sparse. Empty: the preset "ac_dc_imagenet".
  std::vector<PhaseShare> phases;
  // Blocks that return in a dense phase start at 0, as in the paper; false: at the values that they
  // were pruned with, as SequentialAttention++ has it on Criteo.
  bool restart_at_zero = true;
  bool reset_optimizer_at_phases = true;
};

// Each sparse phase keeps the blocks of largest Frobenius norm at its start, for as long as it
// lasts; in a dense phase every block is trained (Algorithm 1 of the paper, with blocks in place of
// weights and one ranking per layer unless the budget is global).
//
// INVALID_ARGUMENT, naming the field, where a phase is a sparsification or the last one is dense.
absl::StatusOr<std::unique_ptr<Method>> NewAcDc(const AcDcOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_AC_DC_H_
