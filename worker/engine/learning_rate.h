// Learning-rate schedules as pure functions of the step.
#ifndef TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_
#define TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace topiary {

enum class LearningRateKind { kConstant, kStep, kCosine, kLinear };

// Let s be the steps since the end of the warm-up and S = total_steps - warmup_steps.
// In the warm-up: base * (step + 1) / (warmup_steps + 1), so that the first
// step already moves and the first step after it has `base`. Then
//   kConstant: base
//   kStep:     base * gamma^floor(s / step_size)
//   kCosine:   final + (base - final) * (1 + cos(pi * s / S)) / 2
//   kLinear:   base + (final - base) * s / S
// where final = base * final_fraction, and s is held at S from total_steps on.
struct LearningRateSchedule {
  LearningRateKind kind = LearningRateKind::kConstant;
  double base = 0.1;           // > 0.
  int64_t warmup_steps = 0;    // >= 0, less than total_steps where that is used.
  int64_t total_steps = 0;     // kCosine, kLinear: >= 1. Ignored by the others.
  int64_t step_size = 1;       // kStep: >= 1, in steps.
  double gamma = 0.1;          // kStep: > 0.
  double final_fraction = 0;   // kCosine, kLinear: in [0, 1].
};

// INVALID_ARGUMENT naming the field that is out of range.
absl::Status ValidateLearningRateSchedule(const LearningRateSchedule& schedule);

// Of step `step` >= 0, counted from 0. `schedule` must be valid.
double LearningRateAt(const LearningRateSchedule& schedule, int64_t step);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LEARNING_RATE_H_
