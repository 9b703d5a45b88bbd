// The methods that prune a trained network by calibration examples alone, one layer after another
// (pipeline/calibration.h drives them).
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATION_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/input_moments.h"
#include "worker/model/layers.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/method_registry.h"
#include "worker/prune/support.h"

namespace topiary {

// Null where the method does not prune so, but while it trains.
const CalibrationOptions* CalibrationOptionsOf(const MethodOptions& method);

// What CalibratedLayer::moments must give the method.
MomentKind MomentsFor(const MethodOptions& method);

// Prunes one layer. CHECK-fails for a method without CalibrationOptionsOf(); RESOURCE_EXHAUSTED
// where memory runs out, on whichever thread; errors as each method's PruneCalibrated().
absl::StatusOr<Support> PruneLayer(const MethodOptions& method, const CalibratedLayer& layer);

struct MeasuredLayer {
  PrunableLayer layer;
  BlockShape block;  // What group_obs removes.
};

// About how many bytes the largest of `layers` takes, beside weights and activations, to be
// measured and pruned on so many threads; 0 for a method without CalibrationOptionsOf().
int64_t CalibrationBytes(const MethodOptions& method, absl::Span<const MeasuredLayer> layers,
                         int threads);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATION_H_
