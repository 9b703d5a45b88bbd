// SNIP (Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR
// 2019), in blocks.
#ifndef TOPIARY_WORKER_PRUNE_SNIP_H_
#define TOPIARY_WORKER_PRUNE_SNIP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct SnipOptions {
  // Batches over which the sensitivity is measured before anything is trained: as many steps of the
  // run. >= 1, and fewer than all steps.
  int64_t batches = 1;
};

// The score of a block is |sum over batches of <d loss / d W_b, W_b>|, the derivative of the loss
// by an indicator c_b that multiplies the block, at c_b = 1 (equations 4 and 5 of the paper, with
// one indicator per block). The first `batches` steps of the run measure it and hold the weights;
// then the blocks of highest score are trained.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewSnip(const SnipOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SNIP_H_
