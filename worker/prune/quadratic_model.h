// The quadratic model of what pruning does to the outputs of a layer: with D what is taken off the
// weights, the mean over samples of the squared change is the trace of D^T H D, H the moments of
// the inputs. OBS and what came of it (Hassibi and Stork, 1993) prune by the inverse of H.
#ifndef TOPIARY_WORKER_PRUNE_QUADRATIC_MODEL_H_
#define TOPIARY_WORKER_PRUNE_QUADRATIC_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"
#include "worker/prune/calibrated_layer.h"

namespace topiary {

struct QuadraticOptions : CalibrationOptions {
  // Added to the diagonal of H, in parts of its mean over inputs that are not dead: H of few
  // samples, or of inputs that depend on one another, has no inverse.
  double dampening = 0.01;
};

// H of one matrix, dampened.
struct QuadraticModel {
  int64_t inputs = 0;
  std::vector<double> h;  // [inputs, inputs], symmetric.
  // Inputs that are 0 in every sample, of which the weights do not matter; they have the mean of
  // the others on the diagonal before dampening, so that H does not depend on how many there are.
  std::vector<uint8_t> dead;
};
QuadraticModel ModelOf(const CalibratedLayer& layer, int64_t group, double dampening);

// Sets the weights of dead inputs to 0 in [outputs][inputs].
void ZeroDeadInputs(const QuadraticModel& model, std::vector<double>* outputs);

// The inverse of H. FAILED_PRECONDITION, naming the layer and the remedy, where H has none.
absl::StatusOr<std::vector<double>> InverseOf(const CalibratedLayer& layer,
                                              const QuadraticModel& model);

// The upper triangular U with U^T U the inverse of H. Errors as InverseOf().
absl::StatusOr<std::vector<double>> UpperFactorOfInverse(const CalibratedLayer& layer,
                                                         const QuadraticModel& model);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_QUADRATIC_MODEL_H_
