// SparseGPT (Frantar and Alistarh, "Massive Language Models Can Be Accurately Pruned in One-Shot",
// 2023): goes through the inputs of a layer once, prunes of each what costs least by OBS, and has
// the inputs that come after make up for it.
#ifndef TOPIARY_WORKER_PRUNE_SPARSEGPT_H_
#define TOPIARY_WORKER_PRUNE_SPARSEGPT_H_

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

struct SparseGptOptions : QuadraticOptions {
  // What is pruned is chosen for so many inputs at a time (rounded down to whole blocks, but one at
  // least), all outputs together. Candidates of a group are chosen all at once.
  int64_t chunk_inputs = 128;
};

// A support that training keeps (calibrated_method.h).
absl::StatusOr<std::unique_ptr<Method>> NewSparseGpt(const SparseGptOptions& options,
                                                     const PruningTarget& target,
                                                     std::vector<MethodLayer> layers,
                                                     int64_t total_steps);

// With U^T U the inverse of H, input j after input j - 1 (algorithm 1 of the paper): pruned weights
// q = 0, others q = w; the error e = (w - q) / U_jj; then w_k -= e U_jk for all inputs k >= j. A
// chunk prunes the blocks of least sum of w^2 / U_jj^2, so many that the layer keeps
// layer.kept_blocks() in all; with N:M, each output those of least w^2 / U_jj^2 in a run of M when
// it gets there. Moments are full; errors as UpperFactorOfInverse().
absl::StatusOr<Support> PruneCalibrated(const SparseGptOptions& options,
                                        const CalibratedLayer& layer);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SPARSEGPT_H_
