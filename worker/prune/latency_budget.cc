#include "worker/prune/latency_budget.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace topiary {
namespace {

constexpr int kGrid = 100;
constexpr int kBisections = 80;

// The density that is worth most where a second costs `price`: ln(density) - price * seconds.
double BestDensity(const BudgetedLayer& layer, double price) {
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

struct Allotment {
  std::map<std::string, double> densities;
  double seconds = 0;
};

Allotment AllotAt(const std::map<std::string, BudgetedLayer>& layers, double price) {
  Allotment allotment;
  for (const auto& [weight, layer] : layers) {
    const double density = BestDensity(layer, price);
    allotment.densities[weight] = density;
    allotment.seconds += layer.cost.Seconds(density);
  }
  return allotment;
}

// Powers of 2 of the price of a second.
constexpr double kLowestPrice = -100, kHighestPrice = 100;

}  // namespace

double LeastSeconds(const std::map<std::string, BudgetedLayer>& layers) {
  return AllotAt(layers, std::exp2(kHighestPrice)).seconds;
}

absl::StatusOr<std::map<std::string, double>> AllotDensities(
    const std::map<std::string, BudgetedLayer>& layers, double seconds) {
  Allotment least = AllotAt(layers, 0);
  if (least.seconds <= seconds) return least.densities;
  // The higher the price, the less time is taken.
  double low = kLowestPrice, high = kHighestPrice;
  least = AllotAt(layers, std::exp2(high));
  if (!(least.seconds <= seconds)) {
    return absl::OutOfRangeError(absl::StrFormat(
        "the layers that can be pruned may take %.3g ms of it, but take at least %.3g ms",
        1e3 * std::max(0.0, seconds), 1e3 * least.seconds));
  }
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    Allotment allotment = AllotAt(layers, std::exp2(middle));
    if (allotment.seconds <= seconds) {
      high = middle;
      least = std::move(allotment);
    } else {
      low = middle;
    }
  }
  return least.densities;
}

}  // namespace topiary
