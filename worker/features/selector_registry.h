// All selectors of features. A new one is a file of its own, its options among SelectorOptions, and
// a line in the table of selector_registry.cc.
#ifndef TOPIARY_WORKER_FEATURES_SELECTOR_REGISTRY_H_
#define TOPIARY_WORKER_FEATURES_SELECTOR_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/features/computed_selection.h"
#include "worker/features/concrete_autoencoder.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"
#include "worker/features/lasso_selectors.h"
#include "worker/features/liao_latty_yang.h"
#include "worker/features/linear_omp.h"
#include "worker/features/omp.h"
#include "worker/features/random_features.h"
#include "worker/features/sequential_attention.h"
#include "worker/features/stochastic_gates.h"

namespace topiary {

// Which selector, and how.
using SelectorOptions =
    std::variant<SequentialAttentionOptions, ConcreteAutoencoderOptions, GroupLassoSelectorOptions,
                 LiaoLattyYangOptions, LinearOmpOptions, OmpOptions, RandomFeaturesOptions,
                 SequentialLassoOptions, StochasticGatesOptions>;

// The name of its field in the spec, such as "sequential_attention".
absl::string_view SelectorName(const SelectorOptions& options);

// Whether it chooses while a network trains, as a FeatureSelector.
bool TrainsToSelect(const SelectorOptions& options);

// About how many bytes the choice of `count` of `features` needs beyond the training itself; what
// "omp_linear" needs depends on the examples, and it checks that itself.
int64_t SelectorBytes(const SelectorOptions& options, const FeatureLayer& features, int64_t count);

// For those that train. Errors as those of each one's factory.
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewFeatureSelector(const SelectorOptions& options,
                                                                    CandidateFeatures candidates,
                                                                    int64_t count,
                                                                    int64_t total_steps);

// For those that do not: `count` of `features`, chosen at step 0. INVALID_ARGUMENT unless
// 1 <= count < number of features; other errors as those of each one.
absl::StatusOr<std::vector<ChosenFeature>> SelectWithoutTraining(const SelectorOptions& options,
                                                                 const FeatureLayer& features,
                                                                 int64_t count,
                                                                 const SelectionData& data);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_SELECTOR_REGISTRY_H_
