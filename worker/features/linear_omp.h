// Orthogonal matching pursuit (Pati, Rezaiifar & Krishnaprasad, 1993) on the training data, exact.
#ifndef TOPIARY_WORKER_FEATURES_LINEAR_OMP_H_
#define TOPIARY_WORKER_FEATURES_LINEAR_OMP_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/features/computed_selection.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct LinearOmpOptions {};

// Least squares with an intercept of the targets Y (classes as one-hot columns) on the numbers that
// are features: columns are centered and scaled to unit norm, those that do not vary are 0. From
// residual R = Y, centered, `count` times: chooses the feature whose columns X_T have the largest
// ||X_T' R|| (ties to the lower index), adds them to an orthonormal basis (Gram-Schmidt, twice) and
// takes their part out of R. The score is ||X_T' R|| at the choice.
//
// UNIMPLEMENTED where a feature is an id, or an example has several labels; RESOURCE_EXHAUSTED
// where the work would pass the limit of memory; an error of the check.
absl::StatusOr<std::vector<ChosenFeature>> SelectByLinearOmp(const LinearOmpOptions& options,
                                                             const FeatureLayer& features,
                                                             int64_t count,
                                                             const SelectionData& data);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_LINEAR_OMP_H_
