// Orthogonal matching pursuit on a network: greedy selection of features by the gradient.
#ifndef TOPIARY_WORKER_FEATURES_OMP_H_
#define TOPIARY_WORKER_FEATURES_OMP_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct OmpOptions {
  int64_t features_per_step = 1;
  // Batches over which the gradient is taken, at the end of a phase; at most half of its steps, but
  // one.
  int64_t gradient_batches = 10;
};

// The network reads the chosen features alone. At the end of a phase, while weights are held, the
// gradient of the first layer's weight V is summed over `gradient_batches` steps, and the features
// chosen whose rows T have the largest ||d loss / d V_T||, which is taken where V_T is all but 0:
// the rule of (group) OMP for the loss of a linear model. All but: a thousandth of the weights as
// they began, for where nothing is chosen yet a layer of ReLUs would pass no gradient at 0.
// docs/methods/feature_selection.md says how the published code differs.
// INVALID_ARGUMENT, naming the field, as SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewOmp(const OmpOptions& options,
                                                        CandidateFeatures candidates, int64_t count,
                                                        int64_t total_steps);

// Of the sum of gradients, and its copy for a checkpoint.
int64_t OmpBytes(const FeatureLayer& features, int64_t count);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_OMP_H_
