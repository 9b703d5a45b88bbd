// The weights that layers multiply with, also where an exporter put a Transpose between.
#ifndef TOPIARY_WORKER_MODEL_WEIGHT_OPERANDS_H_
#define TOPIARY_WORKER_MODEL_WEIGHT_OPERANDS_H_

#include <map>
#include <string>

#include "absl/types/optional.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// Which axis of `weight` a layer reads channels by, and which it makes channels by.
struct WeightOperand {
  std::string weight;  // An initializer.
  int in_axis = 0;
  int out_axis = 0;
};

// Refers to nothing it was made from. Thread-compatible.
class WeightOperands {
 public:
  WeightOperands() = default;
  WeightOperands(const Graph& graph, const InferredGraph& inferred);

  // Of Conv, Gemm, and a MatMul with one matrix: the second operand. nullopt for other nodes, and
  // where that is no initializer, nor the transposition of a matrix that is one.
  absl::optional<WeightOperand> Of(const Node& node) const;

  // The initializer that `value` is, or is the transposition of; empty if it is neither.
  const std::string& Behind(const std::string& value) const;
  bool IsTransposition(const std::string& value) const { return transposed_.count(value) > 0; }

 private:
  std::map<std::string, int> ranks_;               // Of initializers.
  std::map<std::string, std::string> transposed_;  // Initializers by the result of a Transpose.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_WEIGHT_OPERANDS_H_
