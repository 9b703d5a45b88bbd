// Floating-point operations of a forward pass, as papers count them.
#ifndef TOPIARY_WORKER_MODEL_FLOPS_H_
#define TOPIARY_WORKER_MODEL_FLOPS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"

namespace topiary {

// Multiplications and additions of products, two for each pair of factors. What else a graph does
// (sums of branches, activations, normalization, softmax, pooling) is not counted. Whole numbers,
// exact below 2^53.
struct Flops {
  double total = 0;  // Of every Gemm, MatMul and Conv that an output depends on.
  // By weight (PrunableLayer::weight): what one of its elements is worth, all nodes that use it
  // together. A pruned block saves so many for each of its elements.
  std::map<std::string, double> per_element;
};

// As an integer; what does not fit becomes 2^63 - 1.
int64_t WholeFlops(double flops);

// Of one example. Errors as InferShapes().
absl::StatusOr<Flops> CountFlops(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_FLOPS_H_
