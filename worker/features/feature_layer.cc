#include "worker/features/feature_layer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/features/feature_trace.h"

namespace topiary {
namespace {

// The only node besides `trace`'s own that reads traced values. Nodes that do not run on examples,
// as those of x.view(x.size(0), -1), read shapes alone.
absl::StatusOr<int> FindReader(const Graph& graph, const FeatureTrace& trace) {
  int reader = -1;
  for (const int i : trace.live_nodes()) {
    const Node& node = graph.nodes[i];
    if (trace.Carries(node)) continue;
    const bool reads = std::any_of(node.inputs.begin(), node.inputs.end(),
                                   [&](const std::string& name) { return trace.Has(name); });
    if (!reads) continue;
    if (reader >= 0) {
      return absl::UnimplementedError(
          absl::StrCat(NodeLabel(graph.nodes[reader], reader), " and ", NodeLabel(node, i),
                       " both read the model's features: feature_selection needs one first layer"));
    }
    reader = i;
  }
  for (const ValueInfo& output : graph.outputs) {
    if (!trace.Has(output.name)) continue;
    return absl::UnimplementedError(
        absl::StrCat("output '", output.name, "' is made of the features without a layer"));
  }
  if (reader >= 0) return reader;
  return absl::UnimplementedError("no layer reads the model's inputs");
}

// By operands of nodes and outputs of the graph.
int64_t CountReaders(const Graph& graph, const std::string& value) {
  int64_t readers = 0;
  for (const Node& node : graph.nodes) {
    readers += std::count(node.inputs.begin(), node.inputs.end(), value);
  }
  for (const ValueInfo& output : graph.outputs) readers += output.name == value ? 1 : 0;
  return readers;
}

absl::StatusOr<PrunableLayer> LayerOf(const Graph& graph, int reader, const std::string& value) {
  const Node& node = graph.nodes[reader];
  const std::string label = NodeLabel(node, reader);
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    if (std::count(layer.nodes.begin(), layer.nodes.end(), reader) == 0) continue;
    if (layer.kind == LayerKind::kConv || layer.shape.rank() > 2 || node.input(0) != value) break;
    // Operand 1 is the weight, or what a Transpose makes of it.
    if (CountReaders(graph, layer.weight) == 1 && CountReaders(graph, node.input(1)) == 1) {
      return layer;
    }
    return absl::UnimplementedError(
        absl::StrCat("the weight '", layer.weight, "' of ", label,
                     ", the first layer, is read elsewhere too: feature_selection needs one that "
                     "no other node reads"));
  }
  return absl::UnimplementedError(absl::StrCat(
      label, " reads the model's features, but feature_selection needs a first layer that is a ",
      "Gemm or MatMul with a weight [features, outputs]; before it may come BatchNormalization ",
      "of values of rank 2, operators on each number by itself, reshapes, Concat and Gather"));
}

// An element, and a row of the first layer that depends on it.
using ElementRow = std::pair<InputElement, int64_t>;

// By element.
absl::StatusOr<std::map<InputElement, size_t>> GroupOfElements(
    const std::vector<FeatureGroup>& groups, const std::vector<ElementRow>& rows,
    const std::vector<std::string>& inputs) {
  std::map<InputElement, size_t> group_of;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const InputElement& element : groups[g].elements) {
      const std::string label =
          absl::StrCat("element ", element.index, " of input '", inputs[element.input], "'");
      const auto row = std::lower_bound(rows.begin(), rows.end(), ElementRow(element, 0));
      if (row == rows.end() || !(row->first == element)) {
        return absl::InvalidArgumentError(
            absl::StrCat("spec.feature_selection.groups: '", groups[g].name, "' has ", label,
                         ", which the model does not have or does not read"));
      }
      if (!group_of.emplace(element, g).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("spec.feature_selection.groups: ", label, " is in two groups, or twice"));
      }
    }
  }
  return group_of;
}

}  // namespace

absl::StatusOr<FeatureLayer> FindFeatures(const Graph& graph,
                                          const std::vector<FeatureGroup>& groups) {
  ASSIGN_OR_RETURN(const FeatureTrace trace, FeatureTrace::Create(graph));
  ASSIGN_OR_RETURN(const int reader, FindReader(graph, trace));
  FeatureLayer found;
  found.value = graph.nodes[reader].input(0);
  ASSIGN_OR_RETURN(found.layer, LayerOf(graph, reader, found.value));
  if (!trace.Has(found.value) || trace.ShapeOf(found.value).rank() != 2) {
    return absl::UnimplementedError(
        absl::StrCat(NodeLabel(graph.nodes[reader], reader),
                     ", the first layer, does not read one row of features per example: flatten "
                     "the input first"));
  }
  const std::vector<InputElement>& elements = trace.ElementsOf(found.value);
  if (static_cast<int64_t>(elements.size()) != found.layer.rows) {
    return absl::UnimplementedError(absl::StrCat(NodeLabel(graph.nodes[reader], reader),
                                                 ", the first layer, has ", found.layer.rows,
                                                 " rows for ", elements.size(), " features"));
  }
  for (const ValueInfo& input : graph.inputs) found.inputs.push_back(input.name);
  std::vector<ElementRow> rows;  // By element, then row.
  rows.reserve(elements.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    rows.emplace_back(elements[i], static_cast<int64_t>(i));
  }
  std::sort(rows.begin(), rows.end());
  ASSIGN_OR_RETURN(const auto group_of, GroupOfElements(groups, rows, found.inputs));
  std::map<size_t, size_t> place;  // Of a group among the features.
  for (size_t i = 0; i < rows.size(); ++i) {
    const InputElement& element = rows[i].first;
    const bool is_first = i == 0 || !(rows[i - 1].first == element);
    const auto group = group_of.find(element);
    if (group == group_of.end()) {
      if (is_first) found.features.push_back({"", {element}, {}});
      found.features.back().rows.push_back(rows[i].second);
      continue;
    }
    const auto [at, is_new] = place.emplace(group->second, found.features.size());
    if (is_new) found.features.push_back({groups[group->second].name, {}, {}});
    Feature& feature = found.features[at->second];
    if (is_first) feature.elements.push_back(element);
    feature.rows.push_back(rows[i].second);
  }
  if (graph.inputs.size() == 1 && graph.inputs[0].dtype == DType::kFloat32) {
    found.input_width = static_cast<int64_t>(trace.ElementsOf(graph.inputs[0].name).size());
  }
  for (Feature& feature : found.features) std::sort(feature.rows.begin(), feature.rows.end());
  return found;
}

}  // namespace topiary
