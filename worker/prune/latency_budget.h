// How layers share a budget of time.
#ifndef TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_
#define TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "worker/engine/layer_cost.h"
#include "worker/prune/allocation.h"

namespace topiary {

// A layer that may be pruned, and what its products cost.
struct TimedLayer {
  LayerCost cost;
  int64_t block_count = 1;
};

// Densities that are multiples of 0.01 and at least one block; 1 where a layer had better stay
// dense. Of all choices that take no longer about the one whose product of densities is largest:
// time is taken where most of it is to be had for the same part of a layer. (With costs that are
// straight lines through 0 every pruned layer then takes the same time.)
std::unique_ptr<Allocation> NewLatencyAllocation(std::vector<TimedLayer> layers);

// Seconds of `layer` with `kept` of its blocks.
double SecondsWith(const TimedLayer& layer, int64_t kept);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_
