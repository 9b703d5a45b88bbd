#include "worker/prune/latency_budget.h"

#include <cmath>
#include <utility>

namespace topiary {
namespace {

constexpr int kGrid = 100;

// Powers of 2 of the price of a second.
constexpr double kLowestPrice = -100, kHighestPrice = 100;

// The density that is worth most where a second costs `price`: ln(density) - price * seconds.
double BestDensity(const TimedLayer& layer, double price) {
  double best = 1;
  double best_worth = -price * layer.cost.dense_seconds;
  const double break_even = layer.cost.BreakEvenDensity();
  for (int i = kGrid; i >= 1; --i) {
    const double density = static_cast<double>(i) / kGrid;
    if (density > break_even) continue;  // It would be multiplied as if it were dense.
    if (density * static_cast<double>(layer.block_count) < 1) break;
    const double worth = std::log(density) - price * layer.cost.SparseSeconds(density);
    if (worth <= best_worth) continue;
    best = density;
    best_worth = worth;
  }
  return best;
}

class LatencyAllocation : public Allocation {
 public:
  explicit LatencyAllocation(std::vector<TimedLayer> layers) : layers_(std::move(layers)) {}

  // The larger the share, the lower the price.
  std::vector<double> DensitiesAt(double share) const override {
    const double price =
        share >= 1 ? 0 : std::exp2(kHighestPrice + share * (kLowestPrice - kHighestPrice));
    std::vector<double> densities;
    densities.reserve(layers_.size());
    for (const TimedLayer& layer : layers_) densities.push_back(BestDensity(layer, price));
    return densities;
  }

 private:
  const std::vector<TimedLayer> layers_;
};

}  // namespace

std::unique_ptr<Allocation> NewLatencyAllocation(std::vector<TimedLayer> layers) {
  return std::make_unique<LatencyAllocation>(std::move(layers));
}

double SecondsWith(const TimedLayer& layer, int64_t kept) {
  return layer.cost.Seconds(static_cast<double>(kept) / static_cast<double>(layer.block_count));
}

}  // namespace topiary
