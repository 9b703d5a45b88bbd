// Which nodes of a graph can run as one operation.
#ifndef TOPIARY_WORKER_ENGINE_FUSION_H_
#define TOPIARY_WORKER_ENGINE_FUSION_H_

#include <set>
#include <string>
#include <vector>

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// A node of the graph and those that follow it in the same operation:
//   Conv | Gemm | MatMul | BatchNormalization | Add  ->  Relu
//   BatchNormalization -> Add (of an equal shape) -> Relu
struct FusedNode {
  int index = 0;         // Of the first node, in Graph::nodes.
  bool relu = false;     // The result is rectified.
  std::string residual;  // Added before that; empty: nothing.
  std::string result;    // Name of the last node's output.
};

// The live nodes of `graph` in an order in which operands come before their users, fused
// where the value in between has no other use and is not one of `kept` (graph outputs and logits).
std::vector<FusedNode> FuseNodes(const Graph& graph, const InferredGraph& inferred,
                                 const std::set<std::string>& kept);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_FUSION_H_
