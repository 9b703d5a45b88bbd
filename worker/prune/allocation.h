// How layers share a budget: from an amount for the whole model to the blocks that each layer
// keeps. Every budget, whatever it counts and however it is shared, is allotted by Allot().
//
// Pure functions and immutable objects; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_ALLOCATION_H_
#define TOPIARY_WORKER_PRUNE_ALLOCATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/tensor/shape.h"

namespace topiary {

// A layer that takes part in a budget.
struct BudgetedLayer {
  int64_t block_count = 1;
  // It keeps at least and at most so many: 1 <= min_kept <= max_kept <= block_count.
  int64_t min_kept = 1;
  int64_t max_kept = 1;
  // What the layer costs with so many blocks, in the unit of the budget: seconds, bytes, ...
  std::function<double(int64_t kept)> cost;
};

// A rule by which layers share: a path from pruning all as far as can be to pruning nothing.
class Allocation {
 public:
  virtual ~Allocation() = default;

  // Part of its blocks that each layer keeps where `share` in [0, 1] is to be had; none falls as
  // the share rises, and all are 1 at share 1.
  virtual std::vector<double> DensitiesAt(double share) const = 0;
};

// The same density for each of `layers` layers.
std::unique_ptr<Allocation> NewUniformAllocation(size_t layers);

// Erdos-Renyi-Kernel: Mocanu et al. (2018) for matrices, Evci et al. (2020), section 3(1), for
// convolutions. With n_in, n_out, h and w the extents of the weight of layer l,
//   density_l = min(1, e (n_in + n_out + h + w) / (n_in n_out h w)),
// where e is the same for all layers: what the layers that are dense by it cannot take goes to the
// others. `extents` are those of one matrix or kernel per layer, of any rank: their sum over their
// product.
std::unique_ptr<Allocation> NewErkAllocation(const std::vector<Shape>& extents);

struct Allotment {
  std::vector<int64_t> kept;  // Blocks of each layer.
  double cost = 0;            // Of all layers.
};

// What `share` of `allocation` comes to: round(density * blocks), within each layer's bounds.
Allotment AllotmentAt(const Allocation& allocation, absl::Span<const BudgetedLayer> layers,
                      double share);

// The largest share whose cost is within `budget`. Where layers are at their bounds, the others
// have what is left. Layers that are due for a block at the same share, as those that are alike,
// get it one after another in their order, until the next does not fit: what is left is less than
// the next one's. More budget takes no block from a layer. OUT_OF_RANGE, with figures, where the
// budget cannot be met: less than all layers cost at the least.
absl::StatusOr<Allotment> Allot(const Allocation& allocation,
                                absl::Span<const BudgetedLayer> layers, double budget);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_ALLOCATION_H_
