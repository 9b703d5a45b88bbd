#ifndef TOPIARY_WORKER_ENGINE_TESTING_FIXED_LAYER_COSTS_H_
#define TOPIARY_WORKER_ENGINE_TESTING_FIXED_LAYER_COSTS_H_

#include <atomic>
#include <vector>

#include "worker/engine/layer_cost.h"

namespace topiary {

// Costs that are the same on every machine: leaving blocks out pays at and below one density.
class FixedLayerCosts : public LayerCostSource {
 public:
  // A multiple of 0.05.
  explicit FixedLayerCosts(double break_even = 0.5) : break_even_(break_even) {}

  absl::StatusOr<std::vector<LayerCost>> Costs(absl::Span<const LayerWork> work, Backend*,
                                               const CostCheck& check) override {
    std::vector<LayerCost> costs;
    for (size_t i = 0; i < work.size(); ++i) {
      if (absl::Status status = check(); !status.ok()) return status;
      const double seconds_when_full = 1 / (break_even_ + 0.02);
      costs.push_back({1, {{0.05, 0.05 * seconds_when_full}, {1, seconds_when_full}}});
    }
    asked_ += static_cast<int>(work.size());
    return costs;
  }

  // How many costs were asked for.
  int asked() const { return asked_; }

 private:
  const double break_even_;
  std::atomic<int> asked_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_TESTING_FIXED_LAYER_COSTS_H_
