#include "worker/prune/allocation.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

// Enough to tell any two numbers of [0, 1] apart that choose other blocks.
constexpr int kBisections = 100;

class UniformAllocation : public Allocation {
 public:
  explicit UniformAllocation(size_t layers) : layers_(layers) {}
  std::vector<double> DensitiesAt(double share) const override {
    return std::vector<double>(layers_, share);
  }

 private:
  const size_t layers_;
};

class ErkAllocation : public Allocation {
 public:
  explicit ErkAllocation(const std::vector<Shape>& extents) {
    for (const Shape& shape : extents) {
      double sum = 0, product = 1;
      for (const int64_t extent : shape.dims()) {
        sum += static_cast<double>(extent);
        product *= static_cast<double>(extent);
      }
      factors_.push_back(sum / product);
    }
    if (!factors_.empty()) least_ = *std::min_element(factors_.begin(), factors_.end());
  }

  // At share 1 the layer that gets the least is dense, and with it all.
  std::vector<double> DensitiesAt(double share) const override {
    std::vector<double> densities;
    for (const double factor : factors_) {
      densities.push_back(std::min(1.0, share * (factor / least_)));
    }
    return densities;
  }

 private:
  std::vector<double> factors_;
  double least_ = 1;
};

// Gives layers of `allotment` what they have in `next`, one after another, as far as the budget
// goes. It ends at the first that does not fit, and does not look for a cheaper one behind it: that
// one would lose its block again to the first where there is a little more budget.
void FillUp(const Allotment& next, absl::Span<const BudgetedLayer> layers, double budget,
            Allotment* allotment) {
  for (size_t i = 0; i < layers.size(); ++i) {
    if (allotment->kept[i] == next.kept[i]) continue;
    const double cost =
        allotment->cost + layers[i].cost(next.kept[i]) - layers[i].cost(allotment->kept[i]);
    if (cost > budget) return;
    allotment->kept[i] = next.kept[i];
    allotment->cost = cost;
  }
}

}  // namespace

std::unique_ptr<Allocation> NewUniformAllocation(size_t layers) {
  return std::make_unique<UniformAllocation>(layers);
}

std::unique_ptr<Allocation> NewErkAllocation(const std::vector<Shape>& extents) {
  return std::make_unique<ErkAllocation>(extents);
}

Allotment AllotmentAt(const Allocation& allocation, absl::Span<const BudgetedLayer> layers,
                      double share) {
  const std::vector<double> densities = allocation.DensitiesAt(share);
  CHECK_EQ(densities.size(), layers.size());
  Allotment allotment;
  for (size_t i = 0; i < layers.size(); ++i) {
    const BudgetedLayer& layer = layers[i];
    const int64_t kept =
        std::clamp(KeptBlocks(1 - densities[i], layer.block_count), layer.min_kept, layer.max_kept);
    allotment.kept.push_back(kept);
    allotment.cost += layer.cost(kept);
  }
  return allotment;
}

absl::StatusOr<Allotment> Allot(const Allocation& allocation,
                                absl::Span<const BudgetedLayer> layers, double budget) {
  Allotment most = AllotmentAt(allocation, layers, 1);
  if (most.cost <= budget) return most;
  Allotment best = AllotmentAt(allocation, layers, 0);
  if (best.cost > budget) {
    return absl::OutOfRangeError(absl::StrFormat("%.6g is less than the %.6g at the least", budget,
                                                 std::min(best.cost, most.cost)));
  }
  double low = 0, high = 1;
  Allotment next = std::move(most);
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    Allotment allotment = AllotmentAt(allocation, layers, middle);
    if (allotment.cost <= budget) {
      low = middle;
      best = std::move(allotment);
    } else {
      high = middle;
      next = std::move(allotment);
    }
  }
  FillUp(next, layers, budget, &best);
  return best;
}

}  // namespace topiary
