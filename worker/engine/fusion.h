// Which nodes of a graph can run as one operation.
#ifndef TOPIARY_WORKER_ENGINE_FUSION_H_
#define TOPIARY_WORKER_ENGINE_FUSION_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// A node of the graph and those that follow it in the same operation (FusedNode):
//   Conv | Gemm | MatMul | BatchNormalization | Add  ->  Relu
//   BatchNormalization -> Add (of an equal shape) -> Relu
//   [Transpose of a weight ->] MatMul -> Mul or Div by a number -> Add of a vector -> Relu
//   the same -> Add (of an equal shape) or Gelu, where nothing is differentiated
//   Transposes of query, key and value -> MatMul -> Mul or Div by a number -> Add of a mask ->
//       Softmax -> MatMul -> Transpose, where no gradient of the mask is wanted
//   x / sqrt(2) -> Erf -> Add 1 -> Mul x -> Mul 1/2, which is the Gelu of x
// The values that attention starts from: query [n, queries, heads, depth], key and value [n, keys,
// heads, ...], and a mask [queries, keys], perhaps with leading axes of 1; empty: none.
struct FusedAttention {
  std::string query;
  std::string key;
  std::string value;
  std::string mask;
};

struct FusedNode {
  int index = 0;         // Of the first node (after a Transpose), in Graph::nodes.
  bool relu = false;     // The result is rectified.
  std::string residual;  // Added before that, or before a Gelu; empty: nothing.
  std::string result;    // Name of the last node's output.

  // Of a MatMul. The right operand is this weight, transposed; empty: as the node says.
  std::string transposed_weight;
  float factor = 1;
  std::string bias;  // One number per column, added after the factor; empty: nothing.

  // The nodes are the Gelu of the first one's first operand.
  bool gelu = false;

  // Of a MatMul: the result is the Gelu of what the nodes before it make.
  bool gelu_of_product = false;

  // The nodes are attention, `factor` its scale; the first is the first product.
  std::optional<FusedAttention> attention;
};

// Names of all values that `fused` reads.
std::vector<std::string> OperandsOf(const Graph& graph, const FusedNode& fused);

// The live nodes of `graph` in an order in which operands come before their users, fused
// where the value in between has no other use and is not one of `kept` (graph outputs and logits).
// `differentiates`: the steps of the nodes will be followed back.
std::vector<FusedNode> FuseNodes(const Graph& graph, const InferredGraph& inferred,
                                 const std::set<std::string>& kept, bool differentiates);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_FUSION_H_
