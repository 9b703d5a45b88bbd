#ifndef TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_
#define TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "worker/prune/block_skipping.h"
#include "worker/prune/sensitivity.h"

namespace topiary {

// How much the layers of the model as given mind being pruned.
struct SensitivityPlan {
  int64_t examples = 0;  // That it was measured on.
  double loss = 0;       // Of the model as it is.
  std::map<std::string, SensitivityCurve> curves;
};

// What was measured or settled before the first step and decides the bits of a job's result: kept
// in its checkpoints and obeyed by later attempts.
struct KernelPlan {
  // Where leaving out pruned blocks pays in training.
  BreakEvenDensities break_evens;
  // Where the budget gives each layer a sparsity of its own: part of its blocks to be pruned, by
  // weight; 0: the layer stays dense. Of groups of candidates: by their names.
  std::map<std::string, double> sparsities;
  // Where layers compete for an amount other than sparsity: part of the blocks of all of them.
  std::optional<double> global_sparsity;
  // Where layers share by it.
  std::optional<SensitivityPlan> sensitivity;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_
