// Learning-rate schedules as pure functions of the step.
#ifndef TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_
#define TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace topiary {

enum class LearningRateKind { kConstant, kStep, kCosine, kLinear };

// As proto/topiary/v1/spec.proto describes it. In the warm-up: base * (step + 1) / warmup_steps, so
// that the first step already moves and the last of the warm-up has `base`. Then, with
// p = (step - warmup_steps) / (total_steps - 1 - warmup_steps), held at 1 from the last step on,
//   kConstant: base
//   kStep:     base * factor^(number of milestones m with m * total_steps <= step)
//   kCosine:   final + (base - final) * (1 + cos(pi * p)) / 2
//   kLinear:   base + (final - base) * p
// where final = base * final_fraction is reached at the last step.
struct LearningRateSchedule {
  LearningRateKind kind = LearningRateKind::kConstant;
  double base = 0.1;               // > 0.
  int64_t warmup_steps = 0;        // >= 0, less than total_steps.
  int64_t total_steps = 1;         // >= 1.
  double factor = 0.1;             // kStep: in (0, 1].
  std::vector<double> milestones;  // kStep: in (0, 1), rising.
  double final_fraction = 0;       // kCosine, kLinear: in [0, 1].
};

// INVALID_ARGUMENT naming the field that is out of range.
absl::Status ValidateLearningRateSchedule(const LearningRateSchedule& schedule);

// Of step `step` >= 0, counted from 0. `schedule` must be valid.
double LearningRateAt(const LearningRateSchedule& schedule, int64_t step);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_
