// Declared transformations of features: value -> value * scale, then
// (value - mean) / standard deviation.
#ifndef TOPIARY_WORKER_DATA_SCALING_H_
#define TOPIARY_WORKER_DATA_SCALING_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"

namespace topiary {

// What to do with one input; applied in the order of the fields.
struct ScalingOptions {
  float scale = 1.0f;  // 1/255 turns bytes into [0, 1].
  enum class Normalize { kNone, kConstant, kFitPerFeature, kFitPerChannel, kFitOverall };
  Normalize normalize = Normalize::kNone;
  // kConstant: one value for all, or one per channel (axis 0 of an example) or per
  // feature of a rank 1 example. std > 0.
  std::vector<float> mean;
  std::vector<float> std;
};

// The transformation with its statistics settled: value * factor[i] + offset[i],
// i the channel (period = elements of an example / factors, constant inside).
struct Scaling {
  std::string input;
  std::vector<float> factor;
  std::vector<float> offset;
};

// Settles `options` for float32 input `input` of `train`, whose rows alone the
// statistics are fitted on (population standard deviation in double, after `scale`;
// a feature that does not vary is only centred). INVALID_ARGUMENT where the
// input is missing, not float32, or the constants do not fit its shape.
absl::StatusOr<Scaling> FitScaling(const Dataset& train, const std::string& input,
                                   const ScalingOptions& options);

// Applies `scaling` in place. INVALID_ARGUMENT where it does not fit the data set.
absl::Status ApplyScaling(const Scaling& scaling, Dataset& dataset);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_SCALING_H_
