// What comes after a layer-by-layer calibration: training, if any, with the support that was found.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATED_METHOD_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATED_METHOD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

// A method `name` of one sparse phase, or of no step at all where `total_steps` is 0. Its support
// is what Load() gives it, of SupportState() or of a checkpoint. Where none was loaded, as in a
// dry run, which calibrates nothing, it is that of the largest Frobenius norms.
// INVALID_ARGUMENT where the budget is global: layers that are pruned one after another cannot
// compete.
absl::StatusOr<std::unique_ptr<Method>> NewCalibratedMethod(absl::string_view name,
                                                            const PruningTarget& target,
                                                            std::vector<MethodLayer> layers,
                                                            int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATED_METHOD_H_
