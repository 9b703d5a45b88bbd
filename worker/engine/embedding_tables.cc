#include "worker/engine/embedding_tables.h"

#include <algorithm>
#include <map>

#include "common/status_macros.h"
#include "worker/model/op_params.h"
#include "worker/model/shape_inference.h"

namespace topiary {

absl::StatusOr<std::set<std::string>> FindEmbeddingTables(const Graph& graph, int64_t smallest) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  std::map<std::string, int> uses;
  std::set<std::string> picked;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    for (const std::string& input : node.inputs) ++uses[input];
    if (node.op_type != "Gather") continue;
    const absl::StatusOr<int> axis = ReadAxis(node, 2);
    if (axis.ok() && *axis == 0) picked.insert(node.input(0));
  }
  std::set<std::string> tables;
  for (const std::string& name : inferred.parameters) {
    const Shape& shape = inferred.values.at(name).shape;
    const bool is_output =
        std::any_of(graph.outputs.begin(), graph.outputs.end(),
                    [&](const ValueInfo& output) { return output.name == name; });
    // What is kept of each row is as much as two elements.
    if (shape.rank() != 2 || shape[1] < 4 || shape.element_count() < smallest ||
        picked.count(name) == 0 || uses[name] != 1 || is_output || shape[0] > INT32_MAX) {
      continue;
    }
    tables.insert(name);
  }
  return tables;
}

bool CanUpdateRowsLater(OptimizerKind kind, float weight_decay, bool clips_gradients) {
  return kind == OptimizerKind::kSgd && weight_decay == 0 && !clips_gradients;
}

}  // namespace topiary
