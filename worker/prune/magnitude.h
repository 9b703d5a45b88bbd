// Magnitude pruning of blocks: those of least Frobenius norm go.
#ifndef TOPIARY_WORKER_PRUNE_MAGNITUDE_H_
#define TOPIARY_WORKER_PRUNE_MAGNITUDE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"
#include "worker/prune/pruning_schedule.h"

namespace topiary {

struct MagnitudeOptions : PruningSchedule {};

// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewMagnitudeMethod(const MagnitudeOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_MAGNITUDE_H_
