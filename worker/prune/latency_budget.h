// How far to prune each layer for a model to take no longer than a given time.
#ifndef TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_
#define TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/layer_cost.h"

namespace topiary {

// A layer that may be pruned.
struct BudgetedLayer {
  LayerCost cost;
  int64_t block_count = 1;
};

// The least time that the layers can take together: with one block in a hundred, and at least one.
double LeastSeconds(const std::map<std::string, BudgetedLayer>& layers);

// The part of its blocks that each layer keeps, by weight, so that all of them together take at
// most `seconds` by their costs: multiples of 0.01 and at least one block; 1 where a layer had
// better stay dense. Of all such choices about the one whose product of densities is largest: time
// is taken where most of it is to be had for the same part of a layer. (With costs that are
// straight lines through 0 every pruned layer then takes the same time.)
//
// OUT_OF_RANGE where that is less than LeastSeconds(). Pure; thread-safe.
absl::StatusOr<std::map<std::string, double>> AllotDensities(
    const std::map<std::string, BudgetedLayer>& layers, double seconds);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_LATENCY_BUDGET_H_
