// Magnitude pruning of blocks: those of least Frobenius norm go.
#ifndef TOPIARY_WORKER_PRUNE_MAGNITUDE_H_
#define TOPIARY_WORKER_PRUNE_MAGNITUDE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

struct MagnitudeOptions {
  enum class Schedule {
    kOneShot,  // Dense training, one cut at `at_fraction`, then training of what is left.
    kGradual,  // The cubic schedule of Zhu & Gupta (2017) from `begin_` to `end_fraction`.
    // Equal stretches from `begin_` to `end_fraction`, each of which begins with a cut and trains
    // what it left: IterativeSparsity() (schedule.h).
    kIterative,
  };
  Schedule schedule = Schedule::kGradual;
  double at_fraction = 0;       // kOneShot; in [0, 1).
  double begin_fraction = 0.2;  // kGradual, kIterative; 0 <= begin < end <= 1.
  double end_fraction = 0.7;
  // kGradual: steps between two choices of what to prune; 0: max(1, 1 % of the steps between begin
  // and end).
  int64_t refresh_steps = 0;
  int64_t rounds = 10;  // kIterative: number of stretches; >= 1.
};

// INVALID_ARGUMENT, naming the field, where an option is out of range.
absl::StatusOr<std::unique_ptr<Method>> NewMagnitudeMethod(const MagnitudeOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_MAGNITUDE_H_
