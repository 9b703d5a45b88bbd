// Feature selection by a network that makes the mask (Liao, Latty & Yang, "Feature Selection Using
// Batch-Wise Attenuation and Feature Mask Normalization", IJCNN 2021).
#ifndef TOPIARY_WORKER_FEATURES_LIAO_LATTY_YANG_H_
#define TOPIARY_WORKER_FEATURES_LIAO_LATTY_YANG_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct LiaoLattyYangOptions {
  // Learning rate of the mask's network over that of the model; > 0.
  double mask_learning_rate_multiplier = 1;
  uint64_t seed = 0;
};

// The mask of a step is softmax(mean over its examples x of N(x)), N being a network of layers of
// 128, 64 and as many outputs as there are features, with LeakyReLU of slope 0.2 between, that
// reads the input of the model ("mask_network/..." as trainable state, drawn by the seed). In the
// last 5 % of the steps, one at least, weights are held, and the mean of N over their examples is
// taken: the features for which it is largest are chosen. Between steps the mask is that of the
// step begun last. INVALID_ARGUMENT, naming the field, where one is out of range; UNIMPLEMENTED
// where the model has not one input of float32; else as SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewLiaoLattyYang(
    const LiaoLattyYangOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

// What the mask network keeps, with the optimizer's state and the copies for a checkpoint.
int64_t LiaoLattyYangBytes(const FeatureLayer& features, int64_t count);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_LIAO_LATTY_YANG_H_
