#include "worker/features/feature_layer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/features/feature_trace.h"

namespace topiary {
namespace {

// The only node besides `trace`'s own that reads traced values.
absl::StatusOr<int> FindReader(const Graph& graph, const FeatureTrace& trace) {
  int reader = -1;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (trace.Carries(node)) continue;
    const bool reads = std::any_of(node.inputs.begin(), node.inputs.end(),
                                   [&](const std::string& name) { return trace.Has(name); });
    if (!reads) continue;
    if (reader >= 0) {
      return absl::UnimplementedError(absl::StrCat(
          NodeLabel(graph.nodes[reader], reader), " and ", NodeLabel(node, static_cast<int>(i)),
          " both read the model's features: feature_selection needs one first layer"));
    }
    reader = static_cast<int>(i);
  }
  for (const ValueInfo& output : graph.outputs) {
    if (!trace.Has(output.name)) continue;
    return absl::UnimplementedError(
        absl::StrCat("output '", output.name, "' is made of the features without a layer"));
  }
  if (reader >= 0) return reader;
  return absl::UnimplementedError("no layer reads the model's inputs");
}

absl::StatusOr<PrunableLayer> LayerOf(const Graph& graph, int reader, const std::string& value) {
  const Node& node = graph.nodes[reader];
  const std::string label = NodeLabel(node, reader);
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    if (std::count(layer.nodes.begin(), layer.nodes.end(), reader) == 0) continue;
    if (layer.kind == LayerKind::kConv || layer.groups != 1 || node.input(0) != value) break;
    if (layer.nodes.size() == 1) return layer;
    return absl::UnimplementedError(absl::StrCat("the weight '", layer.weight, "' of ", label,
                                                 ", the first layer, is read elsewhere too"));
  }
  return absl::UnimplementedError(absl::StrCat(
      label, " reads the model's features, but feature_selection needs a first layer that is a ",
      "Gemm or MatMul with a weight [features, outputs]; before it may come BatchNormalization ",
      "of values of rank 2, operators on each number by itself, reshapes, Concat and Gather"));
}

std::string Describe(const InputElement& element) {
  return absl::StrCat("element ", element.index, " of input '", element.input, "'");
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
  std::map<InputElement, std::vector<int64_t>> rows;
  for (size_t i = 0; i < elements.size(); ++i) rows[elements[i]].push_back(static_cast<int64_t>(i));
  std::map<InputElement, size_t> group_of;
  for (size_t g = 0; g < groups.size(); ++g) {
    for (const InputElement& element : groups[g].elements) {
      if (rows.count(element) == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("spec.feature_selection.groups: '", groups[g].name, "' has ",
                         Describe(element), ", which the model does not have or does not read"));
      }
      if (!group_of.emplace(element, g).second) {
        return absl::InvalidArgumentError(absl::StrCat(
            "spec.feature_selection.groups: ", Describe(element), " is in two groups, or twice"));
      }
    }
  }
  std::map<size_t, size_t> place;  // Of a group among the features.
  std::map<std::string, int> order;
  for (const ValueInfo& input : graph.inputs) order.emplace(input.name, order.size());
  std::vector<std::pair<InputElement, std::vector<int64_t>>> in_order(rows.begin(), rows.end());
  std::stable_sort(in_order.begin(), in_order.end(), [&order](const auto& a, const auto& b) {
    return order[a.first.input] < order[b.first.input];
  });
  for (auto& [element, element_rows] : in_order) {
    const auto group = group_of.find(element);
    if (group == group_of.end()) {
      found.features.push_back({"", {element}, element_rows});
      continue;
    }
    const auto [at, is_new] = place.emplace(group->second, found.features.size());
    if (is_new) found.features.push_back({groups[group->second].name, {}, {}});
    Feature& feature = found.features[at->second];
    feature.elements.push_back(element);
    feature.rows.insert(feature.rows.end(), element_rows.begin(), element_rows.end());
  }
  if (graph.inputs.size() == 1 && graph.inputs[0].dtype == DType::kFloat32) {
    found.input_width = static_cast<int64_t>(trace.ElementsOf(graph.inputs[0].name).size());
  }
  for (Feature& feature : found.features) std::sort(feature.rows.begin(), feature.rows.end());
  return found;
}

}  // namespace topiary
