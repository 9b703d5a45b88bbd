#ifndef TOPIARY_WORKER_FEATURES_FRESH_WEIGHTS_H_
#define TOPIARY_WORKER_FEATURES_FRESH_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"

namespace topiary {

// Draws the parameters of `graph` anew, as a network that has seen no data starts:
//   - weights of Gemm, MatMul and Conv: uniform in [-a, a], a = sqrt(6 / (fan in + fan out))
//     (Glorot & Bengio, 2010), the fans of a convolution being channels times kernel elements;
//   - tables that a Gather picks rows of: uniform in [-0.05, 0.05];
//   - BatchNormalization and LayerNormalization: scale 1, bias 0; running mean 0, variance 1;
//   - biases of Gemm and Conv, and what an Add adds to the result of a layer and has one axis of
//   more
//     than one number at most: 0.
// Gives the names of the parameters that are none of these, and keep their values. Draws depend on
// `seed` and on the place of a weight among the layers and tables of `graph`, whose values are not
// read. Errors as InferShapes().
absl::StatusOr<std::vector<std::string>> DrawFreshWeights(uint64_t seed, Graph* graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_FRESH_WEIGHTS_H_
