// What the products of a layer cost on this machine, with all blocks and with some of them: from
// this it is decided where leaving blocks out pays, and how far a layer must be pruned for it.
#ifndef TOPIARY_WORKER_ENGINE_LAYER_COST_H_
#define TOPIARY_WORKER_ENGINE_LAYER_COST_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/layer_work.h"
#include "worker/kernels/backend.h"

namespace topiary {

// Seconds of all products of one LayerWork. A value type.
struct LayerCost {
  struct Point {
    double density = 0;  // Kept elements over all elements, in (0, 1].
    double seconds = 0;
  };

  double dense_seconds = 0;
  // By rising density, the last one 1; empty where there is no block-sparse kernel.
  std::vector<Point> sparse;

  // With block-sparse kernels, on straight lines between the densities measured, and below them on
  // that of the first two, but never less than 0. Infinite where there is no such kernel.
  double SparseSeconds(double density) const;
  // With the faster ones.
  double Seconds(double density) const;
  // The highest multiple of 0.05 at and below which block-sparse kernels are faster throughout; 0
  // where they are not even at the lowest density measured.
  double BreakEvenDensity() const;
};

// Asked before each measurement; an error ends them all.
using CostCheck = std::function<absl::Status()>;

// Times every product of `work`, dense and with blocks drawn by chance left out: the shortest of
// several runs, taken in turns, so that what else happens on the machine meets all alike. Takes the
// memory of the largest product's operands. Errors of `check`, and RESOURCE_EXHAUSTED.
absl::StatusOr<LayerCost> MeasureLayerCost(const LayerWork& work, Backend* backend,
                                           const CostCheck& check);

// Where costs come from. Thread-safe.
class LayerCostSource {
 public:
  virtual ~LayerCostSource() = default;

  // One for each of `work`, in its order, as `backend` runs them. Errors as MeasureLayerCost().
  virtual absl::StatusOr<std::vector<LayerCost>> Costs(absl::Span<const LayerWork> work,
                                                       Backend* backend,
                                                       const CostCheck& check) = 0;
};

// Measures what it has not measured before and keeps it in a file of `folder` for this processor,
// instruction set, precision and these versions, so that every job, worker and restart of the same
// machine finds the same costs and comes to the same decisions. Without a folder it remembers for
// itself alone. One process at a time measures; others wait for what it finds.
//
// A folder that cannot be read or written costs measurements, not jobs: a warning is logged. So is
// one for a layer that cannot be measured, which is then taken for one that never pays.
std::unique_ptr<LayerCostSource> NewMeasuredLayerCosts(std::string folder);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LAYER_COST_H_
