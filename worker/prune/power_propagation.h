// PowerPropagation (Schwarz et al., NeurIPS 2021), by elements or, as in arXiv 2402.17902, by
// blocks: weights are trained through a power of themselves, under which small ones stay small and
// large ones grow, and pruned by magnitude.
#ifndef TOPIARY_WORKER_PRUNE_POWER_PROPAGATION_H_
#define TOPIARY_WORKER_PRUNE_POWER_PROPAGATION_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"
#include "worker/prune/power_parametrization.h"
#include "worker/prune/pruning_schedule.h"

namespace topiary {

// The schedule is that of magnitude pruning.
struct PowerPropagationOptions : PruningSchedule {
  PowerParametrization power;
};

// The raw weights become phi before the first step (PowerParametrization::Invert()); effective
// weights are theta. Blocks of least ||theta_b||_F go.
//
// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewPowerPropagation(const PowerPropagationOptions& options,
                                                            const PruningTarget& target,
                                                            std::vector<MethodLayer> layers,
                                                            int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_POWER_PROPAGATION_H_
