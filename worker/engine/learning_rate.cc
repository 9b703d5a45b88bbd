#include "worker/engine/learning_rate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

constexpr double kPi = 3.14159265358979323846;

absl::Status Wrong(absl::string_view field, double value, absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("learning rate: ", field, " is ", value, ", but must be ", range));
}

double AfterWarmup(const LearningRateSchedule& schedule, int64_t step) {
  const double last = static_cast<double>(schedule.total_steps - 1 - schedule.warmup_steps);
  const double done = static_cast<double>(step - schedule.warmup_steps);
  const double p = last <= 0 ? 1.0 : std::min(1.0, done / last);
  const double final_rate = schedule.base * schedule.final_fraction;
  switch (schedule.kind) {
    case LearningRateKind::kConstant:
      return schedule.base;
    case LearningRateKind::kStep: {
      double rate = schedule.base;
      for (const double milestone : schedule.milestones) {
        // A product that rounding has lifted a hair above a whole step still counts as that step.
        const double at = milestone * static_cast<double>(schedule.total_steps);
        if (at <= static_cast<double>(step) + 1e-6) rate *= schedule.factor;
      }
      return rate;
    }
    case LearningRateKind::kCosine:
      return final_rate + (schedule.base - final_rate) * (1.0 + std::cos(kPi * p)) / 2.0;
    case LearningRateKind::kLinear:
      return schedule.base + (final_rate - schedule.base) * p;
  }
  return schedule.base;
}

}  // namespace

absl::Status ValidateLearningRateSchedule(const LearningRateSchedule& schedule) {
  if (!(schedule.base > 0) || !std::isfinite(schedule.base)) {
    return Wrong("base", schedule.base, "a finite number above 0");
  }
  if (schedule.total_steps < 1) {
    return Wrong("total_steps", static_cast<double>(schedule.total_steps), "at least 1");
  }
  if (schedule.warmup_steps < 0 || schedule.warmup_steps >= schedule.total_steps) {
    return Wrong("warmup_steps", static_cast<double>(schedule.warmup_steps),
                 absl::StrCat("at least 0 and below all steps, ", schedule.total_steps));
  }
  if (!(schedule.factor > 0 && schedule.factor <= 1)) {
    return Wrong("factor", schedule.factor, "above 0 and at most 1");
  }
  double before = 0;
  for (const double milestone : schedule.milestones) {
    if (!(milestone > before && milestone < 1)) {
      return Wrong("a milestone", milestone, "in (0, 1) and above the one before");
    }
    before = milestone;
  }
  if (!(schedule.final_fraction >= 0 && schedule.final_fraction <= 1)) {
    return Wrong("final_fraction", schedule.final_fraction, "in [0, 1]");
  }
  return absl::OkStatus();
}

double LearningRateAt(const LearningRateSchedule& schedule, int64_t step) {
  if (step < schedule.warmup_steps) {
    return schedule.base * static_cast<double>(step + 1) /
           static_cast<double>(schedule.warmup_steps);
  }
  return AfterWarmup(schedule, step);
}

}  // namespace topiary
