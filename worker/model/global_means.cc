#include "worker/model/global_means.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Ranks of the values that declare one.
std::map<std::string, int> DeclaredRanks(const Graph& graph) {
  std::map<std::string, int> ranks;
  for (const auto* list : {&graph.inputs, &graph.value_infos, &graph.outputs}) {
    for (const ValueInfo& value : *list) {
      if (value.has_shape) ranks[value.name] = static_cast<int>(value.dims.size());
    }
  }
  return ranks;
}

// The axes: an operand since opset 18, an attribute before. Empty if they are not to be had.
std::vector<int64_t> Axes(const Graph& graph, const Node& node) {
  absl::StatusOr<std::vector<int64_t>> axes = std::vector<int64_t>();
  if (node.inputs.size() == 2) {
    const Initializer* initializer = graph.FindInitializer(node.inputs[1]);
    if (initializer != nullptr) axes = IntegerValues(initializer->value);
  } else {
    axes = IntsAttribute(node, "axes", {});
  }
  return axes.ok() ? *axes : std::vector<int64_t>();
}

bool IsGlobalMean(const Graph& graph, const Node& node, const std::map<std::string, int>& ranks) {
  if (node.op_type != "ReduceMean" || !node.domain.empty() || node.outputs.size() != 1)
    return false;
  const auto rank = ranks.find(node.input(0));
  if (rank == ranks.end() || (rank->second != 3 && rank->second != 4)) return false;
  const absl::StatusOr<std::vector<int>> axes = NormalizeAxes(Axes(graph, node), rank->second);
  if (!axes.ok() || static_cast<int>(axes->size()) != rank->second - 2) return false;
  return axes->front() == 2;  // Sorted and distinct: they are 2 up to the last.
}

std::string UnusedName(const std::string& base, std::set<std::string>& names) {
  std::string name = absl::StrCat(base, "_pooled");
  while (!names.insert(name).second) name += '_';
  return name;
}

}  // namespace

void RewriteGlobalMeans(Graph& graph) {
  const std::map<std::string, int> ranks = DeclaredRanks(graph);
  std::set<std::string> names;
  for (const ValueInfo& input : graph.inputs) names.insert(input.name);
  for (const Initializer& initializer : graph.initializers) names.insert(initializer.name);
  for (const Node& node : graph.nodes) names.insert(node.outputs.begin(), node.outputs.end());
  std::vector<Node> nodes;
  for (Node& node : graph.nodes) {
    const absl::StatusOr<int64_t> keep = IntAttribute(node, "keepdims", 1);
    if (!keep.ok() || !IsGlobalMean(graph, node, ranks)) {
      nodes.push_back(std::move(node));
      continue;
    }
    node.op_type = "GlobalAveragePool";
    node.inputs.resize(1);
    node.attributes.clear();
    if (*keep != 0) {
      nodes.push_back(std::move(node));
      continue;
    }
    Node flatten;
    flatten.name = node.name.empty() ? "" : absl::StrCat(node.name, "_flatten");
    flatten.op_type = "Flatten";
    flatten.outputs = {node.outputs[0]};
    node.outputs[0] = UnusedName(node.outputs[0], names);
    flatten.inputs = {node.outputs[0]};
    nodes.push_back(std::move(node));
    nodes.push_back(std::move(flatten));
  }
  graph.nodes = std::move(nodes);
}

}  // namespace topiary
