// Selection of features by a group lasso on the rows of the first layer: one after another
// (sequential LASSO; Luo & Chen, 2014), or all at the end.
#ifndef TOPIARY_WORKER_FEATURES_LASSO_SELECTORS_H_
#define TOPIARY_WORKER_FEATURES_LASSO_SELECTORS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct SequentialLassoOptions {
  int64_t features_per_step = 1;
  // Of the penalty; > 0.
  double strength = 0.01;
  uint64_t seed = 0;
};

struct GroupLassoSelectorOptions {
  double strength = 0.01;
  uint64_t seed = 0;
};

// Adds to `gradient` that of the penalty strength * sum over the features not in `chosen` of
// sqrt(rows) * ||W_T||, T being the rows of a feature in the weight W; 0 where W_T is 0.
void AddLassoGradient(const CandidateFeatures& candidates, absl::Span<const uint8_t> chosen,
                      double strength, absl::Span<const float> weight, absl::Span<float> gradient);

// The network reads all features. The rows of those not chosen are under the penalty, by its
// gradient, and at the end of a phase the features of largest ||W_T|| / sqrt(rows) are chosen, from
// where they are free of it. The first layer's weights start at normal numbers of deviation 0.001
// drawn by the seed, so that none is ahead for its initial value.
// INVALID_ARGUMENT, naming the field, as SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSequentialLasso(
    const SequentialLassoOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

// The same in one phase, at the end of which all are chosen.
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewGroupLassoSelector(
    const GroupLassoSelectorOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_LASSO_SELECTORS_H_
