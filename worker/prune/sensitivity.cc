#include "worker/prune/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

// What a loss that is not a number counts as: more than any that is.
constexpr double kVeryLarge = 1e30;

// From `a` on to `b`: loss saved by one block.
double Gain(const SensitivityPoint& a, const SensitivityPoint& b) {
  return (a.loss - b.loss) / static_cast<double>(b.kept - a.kept);
}

// Blocks of one layer that save the same loss each.
struct Step {
  size_t layer = 0;
  double blocks = 0;
  double cost = 0;  // Of all of them.
  double gain = 0;  // For each unit of cost.
};

class SensitivityAllocation : public Allocation {
 public:
  SensitivityAllocation(absl::Span<const SensitivityCurve> curves,
                        absl::Span<const BudgetedLayer> layers) {
    CHECK_EQ(curves.size(), layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
      const auto blocks = static_cast<double>(layers[i].block_count);
      block_counts_.push_back(blocks);
      if (layers[i].block_count < 2) continue;
      // Where a whole layer costs no more than one block, all others are free.
      constexpr double kLeast = 1e-9;
      const double price = std::max(
          kLeast, (layers[i].cost(layers[i].block_count) - layers[i].cost(1)) / (blocks - 1));
      const SensitivityCurve hull = Convexified(curves[i]);
      for (size_t j = 0; j + 1 < hull.size(); ++j) {
        const auto count = static_cast<double>(hull[j + 1].kept - hull[j].kept);
        steps_.push_back({i, count, count * price, Gain(hull[j], hull[j + 1]) / price});
        cost_ += count * price;
      }
    }
    // Those of one layer are in this order already, since its curve is convex.
    std::stable_sort(steps_.begin(), steps_.end(),
                     [](const Step& a, const Step& b) { return a.gain > b.gain; });
  }

  std::vector<double> DensitiesAt(double share) const override {
    std::vector<double> kept(block_counts_.size(), 1);
    double left = share * cost_;
    for (const Step& step : steps_) {
      const double part = share >= 1 ? 1 : std::min(1.0, left / step.cost);
      if (part <= 0) break;
      kept[step.layer] += part * step.blocks;
      left -= step.cost;
    }
    for (size_t i = 0; i < kept.size(); ++i) kept[i] = std::min(1.0, kept[i] / block_counts_[i]);
    return kept;
  }

 private:
  std::vector<double> block_counts_;
  std::vector<Step> steps_;  // In the order in which they are worth their cost.
  double cost_ = 0;          // Of all steps.
};

}  // namespace

std::vector<int64_t> MeasuredBlockCounts(absl::Span<const double> sparsities, int64_t block_count) {
  std::vector<int64_t> counts = {1, block_count};
  for (const double sparsity : sparsities) counts.push_back(KeptBlocks(sparsity, block_count));
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

SensitivityCurve Convexified(const SensitivityCurve& curve) {
  SensitivityCurve hull;
  for (SensitivityPoint point : curve) {
    point.loss = std::isfinite(point.loss) ? std::min(point.loss, kVeryLarge) : kVeryLarge;
    // The last point lies on or above the line from the one before it to this one.
    while (hull.size() >= 2 &&
           Gain(hull[hull.size() - 2], hull.back()) <= Gain(hull.back(), point)) {
      hull.pop_back();
    }
    hull.push_back(point);
  }
  return hull;
}

std::unique_ptr<Allocation> NewSensitivityAllocation(absl::Span<const SensitivityCurve> curves,
                                                     absl::Span<const BudgetedLayer> layers) {
  return std::make_unique<SensitivityAllocation>(curves, layers);
}

}  // namespace topiary
