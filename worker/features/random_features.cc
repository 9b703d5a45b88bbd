#include "worker/features/random_features.h"

#include "common/random.h"

namespace topiary {

absl::StatusOr<std::vector<ChosenFeature>> DrawFeatures(const RandomFeaturesOptions& options,
                                                        const FeatureLayer& features, int64_t count,
                                                        const SelectionData&) {
  const std::vector<uint32_t> order = Permutation(options.seed, kStreamFeatures, 0,
                                                  static_cast<uint32_t>(features.features.size()));
  std::vector<ChosenFeature> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back({order[i], 0, 0});
  return chosen;
}

}  // namespace topiary
