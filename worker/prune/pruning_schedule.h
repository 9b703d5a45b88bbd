// When how much goes: the schedules that methods which rank by magnitude share.
#ifndef TOPIARY_WORKER_PRUNE_PRUNING_SCHEDULE_H_
#define TOPIARY_WORKER_PRUNE_PRUNING_SCHEDULE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/prune/budget.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/phases.h"

namespace topiary {

struct PruningSchedule {
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

  // Sparsity at progress t in (0, 1] of the stretch, on the way to `target`.
  double SparsityAt(double target, double t) const;
};

// The phases of a run. INVALID_ARGUMENT, naming the field of `message`, where an option is out of
// range.
absl::StatusOr<PhasePlan> PhasesOf(const PruningSchedule& schedule, absl::string_view message,
                                   int64_t total_steps);

// How the support goes through them.
PhasedOptions PhasedOptionsOf(const PruningSchedule& schedule, const PruningTarget& target);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_PRUNING_SCHEDULE_H_
