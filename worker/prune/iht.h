// Iterative hard thresholding (Blumensath & Davies, 2009; for networks Jin et al., "Training Skinny
// Deep Neural Networks with Iterative Hard Thresholding Methods", 2016), in blocks.
#ifndef TOPIARY_WORKER_PRUNE_IHT_H_
#define TOPIARY_WORKER_PRUNE_IHT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct IhtOptions {
  // Thresholding goes on between these parts of the run; 0 <= begin < end <= 1.
  double begin_fraction = 0.2;
  double end_fraction = 0.7;
};

// Dense training, then W <- H_k(W - update) at each step, where `update` is the optimizer's for all
// blocks, those at 0 included, and H_k keeps the k blocks of largest Frobenius norm and sets the
// others to 0; at `end_fraction` the support is fixed and trained on.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewIht(const IhtOptions& options,
                                               const PruningTarget& target,
                                               std::vector<MethodLayer> layers,
                                               int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_IHT_H_
