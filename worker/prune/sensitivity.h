// How much layers mind being pruned, and how they share a budget by that.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_SENSITIVITY_H_
#define TOPIARY_WORKER_PRUNE_SENSITIVITY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "worker/prune/allocation.h"

namespace topiary {

// The loss of the model when one layer alone keeps so many of its blocks.
struct SensitivityPoint {
  int64_t kept = 0;
  double loss = 0;
};

// Of one layer: by rising number of blocks, from 1 to all of them, where the loss is that of the
// model as it is.
using SensitivityCurve = std::vector<SensitivityPoint>;

// How many blocks the curve of a layer of `block_count` is measured at: those of `sparsities`, one
// block, and all; rising, none twice.
std::vector<int64_t> MeasuredBlockCounts(absl::Span<const double> sparsities, int64_t block_count);

// The largest convex curve below `curve`: its points of lower convex hull. A loss that is not a
// finite number counts as very large.
SensitivityCurve Convexified(const SensitivityCurve& curve);

// Densities that minimize the sum over layers of the loss added by each, taken from its convexified
// curve (straight lines between points), for what they cost: with prices of a block in proportion
// to what it costs, the Lagrangian is minimized layer by layer, so that where several layers could
// have a block, that which saves most loss for its cost does. Share 0 is one block of each layer.
//
// `curves` are not empty; `layers` are the same, in the same order. A block is taken to cost the
// same throughout a layer.
std::unique_ptr<Allocation> NewSensitivityAllocation(absl::Span<const SensitivityCurve> curves,
                                                     absl::Span<const BudgetedLayer> layers);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SENSITIVITY_H_
