// Settles, for one batch size, the shape and dtype of every value of a graph,
// computes every value that does not depend on data, and says which nodes are
// left to run. The engine sees only those.
#ifndef TOPIARY_WORKER_MODEL_SHAPE_INFERENCE_H_
#define TOPIARY_WORKER_MODEL_SHAPE_INFERENCE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"
#include "worker/model/value_type.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// The result refers to nodes of the graph it was made from by their index, and
// owns everything else. Thread-compatible.
struct InferredGraph {
  // Every value that is an input, an initializer or a node's output (empty
  // names left out). Values of nodes that no graph output needs are included.
  std::map<std::string, ValueType> values;

  // Values of nodes that were computed here: shape arithmetic, Constant nodes,
  // and arithmetic on constants. A live node may read them as operands.
  // Initializers are not repeated here.
  std::map<std::string, Tensor> constants;

  // Indices into Graph::nodes, ascending, of the nodes that must run on each
  // batch: those that depend on data or on a parameter and that a graph output
  // depends on.
  std::vector<int> live_nodes;

  // Names of the float32 initializers that training changes, in the file's order:
  // those that a live node reads as an operand (weights, biases, scales).
  // Rank 0 initializers are constants, not parameters (exporters store literals
  // such as the 0.5 of `x * 0.5` so), and so are operands that configure a
  // node (the bounds of Clip, the ratio of Dropout).
  std::vector<std::string> parameters;

  // Names of initializers that are running mean or variance of a live
  // BatchNormalization, in the file's order. Changed by training, not by gradients.
  std::vector<std::string> statistics;
};

// `input_shapes` gives the concrete shape of each graph input (see
// InputShapesForBatch()).
//
// INVALID_ARGUMENT: an input is missing or contradicts the graph's declaration, a
// node's operands or attributes are malformed or do not fit one another.
// UNIMPLEMENTED: an operator, or a form of one, that is not supported; the
// message lists what is. Every message names operator type and node.
//
// What a live node may be: all operands are float32, except that Gather's indices are int64, and
// that Gather and what only changes a shape may pass int64 values on, to be indices. Operands that
// configure a node (shapes, axes, bounds) are always constant. Inputs of the graph are float32 or
// int64.
absl::StatusOr<InferredGraph> InferShapes(const Graph& graph,
                                          const std::map<std::string, Shape>& input_shapes);

// The value of an operand that must be known before any batch runs: a constant
// of `inferred`, else an initializer of `graph`, else null. The pointer lives
// as long as both and while neither is changed.
const Tensor* ConstantValue(const Graph& graph, const InferredGraph& inferred,
                            const std::string& name);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_SHAPE_INFERENCE_H_
