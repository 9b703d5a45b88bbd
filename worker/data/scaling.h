// Declared transformations of features: x becomes (x / divide_by - mean) / standard deviation.
#ifndef TOPIARY_WORKER_DATA_SCALING_H_
#define TOPIARY_WORKER_DATA_SCALING_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"

namespace topiary {

// What to do with one input.
struct ScalingOptions {
  double divide_by = 1;  // 255 turns bytes into [0, 1].
  enum class Normalize {
    kNone,
    kConstant,       // By `mean` and `standard_deviation`.
    kFitOverall,     // One mean and deviation, fitted.
    kFitPerChannel,  // One for each index of axis 0 of an example ([c, h, w]; a feature of [n]).
    kFitPerFeature,  // One for each element of an example.
  };
  Normalize normalize = Normalize::kNone;
  // kConstant: one value, one per channel, or one per element of an example. Deviations are > 0.
  std::vector<double> mean;
  std::vector<double> standard_deviation;
};

// The transformation with its statistics settled: x * factor[i] + offset[i], where i is the number
// of the element within its example divided by (elements of an example / factor.size()).
struct Scaling {
  std::string input;
  std::vector<float> factor;
  std::vector<float> offset;
};

// Settles `options` for float32 input `input` of `train`, whose rows alone the
// statistics are fitted on (population standard deviation, in double, after `divide_by`;
// a feature that does not vary is only centred). INVALID_ARGUMENT where the
// input is missing, not float32, or the constants do not fit its shape.
absl::StatusOr<Scaling> FitScaling(const Dataset& train, const std::string& input,
                                   const ScalingOptions& options);

// Applies `scaling` in place. INVALID_ARGUMENT where it does not fit the data set.
absl::Status ApplyScaling(const Scaling& scaling, Dataset& dataset);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_SCALING_H_
