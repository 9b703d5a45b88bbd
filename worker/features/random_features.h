#ifndef TOPIARY_WORKER_FEATURES_RANDOM_FEATURES_H_
#define TOPIARY_WORKER_FEATURES_RANDOM_FEATURES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/features/computed_selection.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct RandomFeaturesOptions {
  uint64_t seed = 0;
};

// `count` features drawn by the seed: every set and order of them is as likely as any other. The
// score of all is 0.
absl::StatusOr<std::vector<ChosenFeature>> DrawFeatures(const RandomFeaturesOptions& options,
                                                        const FeatureLayer& features, int64_t count,
                                                        const SelectionData& data);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_RANDOM_FEATURES_H_
