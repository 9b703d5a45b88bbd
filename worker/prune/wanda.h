// Wanda (Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", 2024): a
// weight counts as much as it adds to its output, |W_kj| |X_k|, X_k its input over calibration
// examples. No weight is changed but those that go.
#ifndef TOPIARY_WORKER_PRUNE_WANDA_H_
#define TOPIARY_WORKER_PRUNE_WANDA_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/prune/budget.h"
#include "worker/prune/calibrated_groups.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/method.h"
#include "worker/prune/support.h"

namespace topiary {

struct WandaOptions : CalibrationOptions {
  // What a weight must hold its own against (with N:M, that is settled): those of the same output
  // (equation 1 of the paper and its default; of a block, those of the same outputs), or those of
  // the whole layer.
  enum class Comparison { kOutput, kLayer };
  Comparison comparison = Comparison::kOutput;
};

// A support that training keeps (calibrated_method.h).
absl::StatusOr<std::unique_ptr<Method>> NewWanda(const WandaOptions& options,
                                                 const PruningTarget& target,
                                                 std::vector<MethodLayer> layers,
                                                 int64_t total_steps);

// Score of a block: the root of the sum over its elements of (W_kj |X_k|)^2, from moments of the
// diagonal. Keeps layer.kept_blocks() in all.
absl::StatusOr<Support> PruneCalibrated(const WandaOptions& options, const CalibratedLayer& layer);

// Adds to `squares`, one per candidate of a group, the sum of (W_kj |X_k|)^2 over the elements that
// each has in `matrix`. `moments` as CalibratedLayer::moments, of the diagonal; `weight` as stored.
void AddSquaredScores(const GroupMatrix& matrix,
                      const std::function<std::vector<double>(int64_t group)>& moments,
                      absl::Span<const float> weight, absl::Span<double> squares);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_WANDA_H_
