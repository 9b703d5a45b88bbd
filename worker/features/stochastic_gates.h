// Stochastic gates (Yamada, Lindenbaum, Negahban & Kluger, "Feature Selection using Stochastic
// Gates", ICML 2020).
#ifndef TOPIARY_WORKER_FEATURES_STOCHASTIC_GATES_H_
#define TOPIARY_WORKER_FEATURES_STOCHASTIC_GATES_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct StochasticGatesOptions {
  // Of the penalty on open gates; >= 0.
  double strength = 0.01;
  // Of the noise; > 0.
  double deviation = 0.5;
  // Learning rate of the gates over that of the weights; > 0.
  double gates_learning_rate_multiplier = 1;
  uint64_t seed = 0;
};

// The mask of feature i is clamp(mu_i + e_i, 0, 1), e_i normal with `deviation`, drawn for each
// step (and not for each example) by the seed; mu, "gates/features" as trainable state, starts at
// 0.5. The loss has the penalty strength * sum_i Phi(mu_i / deviation), the gates that are expected
// not to be shut. At the end the features of largest mu are chosen. Between steps the mask has no
// noise. INVALID_ARGUMENT, naming the field, where one is out of range; else as
// SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewStochasticGates(
    const StochasticGatesOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_STOCHASTIC_GATES_H_
