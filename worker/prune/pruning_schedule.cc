#include "worker/prune/pruning_schedule.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

absl::StatusOr<std::vector<PhaseShare>> Shares(const PruningSchedule& schedule,
                                               absl::string_view message) {
  const auto field = [message](absl::string_view name) { return absl::StrCat(message, ".", name); };
  switch (schedule.schedule) {
    case PruningSchedule::Schedule::kOneShot:
      return OneShotPhases(schedule.at_fraction, field("one_shot.at_fraction"));
    case PruningSchedule::Schedule::kGradual:
      return GradualPhases(schedule.begin_fraction, schedule.end_fraction, field("gradual"));
    case PruningSchedule::Schedule::kIterative:
      return GradualPhases(schedule.begin_fraction, schedule.end_fraction, field("iterative"));
  }
  return absl::InternalError("a schedule that is none");
}

}  // namespace

double PruningSchedule::SparsityAt(double target, double t) const {
  switch (schedule) {
    case Schedule::kOneShot:
      return target;
    case Schedule::kGradual:
      return CubicSparsity(0, target, t);
    case Schedule::kIterative:
      return IterativeSparsity(target, rounds, t);
  }
  return target;
}

absl::StatusOr<PhasePlan> PhasesOf(const PruningSchedule& schedule, absl::string_view message,
                                   int64_t total_steps) {
  if (schedule.refresh_steps < 0) {
    return absl::InvalidArgumentError(absl::StrCat(message, ".gradual.refresh_steps must be >= 1"));
  }
  if (schedule.rounds < 1) {
    return absl::InvalidArgumentError(absl::StrCat(message, ".iterative.rounds must be >= 1"));
  }
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares, Shares(schedule, message));
  return PhasePlan::Create(shares, total_steps);
}

PhasedOptions PhasedOptionsOf(const PruningSchedule& schedule, const PruningTarget& target) {
  PhasedOptions options = PhasedOptions::For(target);
  // A round may begin at any step; within one nothing goes and nothing is read.
  const bool iterative = schedule.schedule == PruningSchedule::Schedule::kIterative;
  options.in_rounds = iterative;
  options.refresh_steps = iterative ? 1 : schedule.refresh_steps;
  return options;
}

}  // namespace topiary
