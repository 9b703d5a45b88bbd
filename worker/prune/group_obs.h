// Optimal Brain Surgeon (Hassibi and Stork, 1993) with blocks in place of weights: removes, again
// and again, the block that costs the layer's outputs least when all weights that are left make up
// for it.
#ifndef TOPIARY_WORKER_PRUNE_GROUP_OBS_H_
#define TOPIARY_WORKER_PRUNE_GROUP_OBS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/method.h"
#include "worker/prune/quadratic_model.h"
#include "worker/prune/support.h"

namespace topiary {

struct GroupObsOptions : QuadraticOptions {};

// A support that training keeps (calibrated_method.h).
absl::StatusOr<std::unique_ptr<Method>> NewGroupObs(const GroupObsOptions& options,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps);

// The cost of block b of the outputs C, with H restricted to the inputs that these outputs still
// have, is the sum over C of
//     1/2 w_b^T [(H^-1)_bb]^-1 w_b
// and the weights that are left become w - (H^-1)_:b [(H^-1)_bb]^-1 w_b. Outputs of different
// columns of blocks know nothing of one another, so that each column is pruned to the end by
// itself, and the costs of all columns are merged: what results is the greedy choice over the whole
// layer. The weights that are left are those of least squares, W_F - (H_FF)^-1 H_F: (W - W_F).
//
// n^3 / 3 multiplications and additions for each column of blocks of n inputs at most, and about
// n^2 for each of its outputs; n^2 numbers per thread. Moments are full; errors as InverseOf().
absl::StatusOr<Support> PruneCalibrated(const GroupObsOptions& options,
                                        const CalibratedLayer& layer);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_GROUP_OBS_H_
