#ifndef TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_
#define TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_

#include <map>
#include <string>

#include "worker/prune/block_skipping.h"

namespace topiary {

// What was measured before the first step and decides the bits of a job's result: kept in its
// checkpoints and obeyed by later attempts.
struct KernelPlan {
  // Where leaving out pruned blocks pays in training.
  BreakEvenDensities break_evens;
  // With a latency budget: part of the blocks of each layer to be pruned, by weight; 0: the layer
  // stays dense.
  std::map<std::string, double> sparsities;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_KERNEL_PLAN_H_
