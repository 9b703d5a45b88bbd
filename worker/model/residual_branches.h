// The branches of residual sums: b in x + b where b is computed from x.
#ifndef TOPIARY_WORKER_MODEL_RESIDUAL_BRANCHES_H_
#define TOPIARY_WORKER_MODEL_RESIDUAL_BRANCHES_H_

#include <string>
#include <vector>

#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// Without the branch the sum is what it was added to.
struct ResidualBranch {
  int sum = 0;             // Index of the Add.
  std::string skipped;     // x.
  std::string output;      // b.
  std::vector<int> nodes;  // Live ones that serve the branch alone, ascending.
  // Weights, biases and scales that the branch ends with, each read by it alone: multiplying all of
  // them by a >= 0 multiplies b by a. Empty where there is a reason.
  std::vector<std::string> last;
  std::string reason;    // Why no weights are known that do.
  bool attends = false;  // There is a Softmax in it, as attention has.
};

// In the order of the sums. A branch that other branches lie in is none, nor is one of so many
// nodes (5,000) that x is not found among what it is computed from. `inferred` is InferShapes() of
// `graph`.
std::vector<ResidualBranch> FindResidualBranches(const Graph& graph, const InferredGraph& inferred);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_RESIDUAL_BRANCHES_H_
