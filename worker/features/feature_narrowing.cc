#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_trace.h"
#include "worker/model/op_params.h"
#include "worker/model/unused.h"

namespace topiary {
namespace {

// The elements `kept` of the axis of `extent` elements in `values`, [outer, extent, inner].
Tensor Pick(const Tensor& values, int axis, const std::vector<int64_t>& kept) {
  const Shape& shape = values.shape();
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  Tensor picked(DType::kFloat32, shape.WithDim(axis, static_cast<int64_t>(kept.size())));
  float* next = picked.data<float>();
  for (int64_t i = 0; i < outer; ++i) {
    for (const int64_t index : kept) {
      CHECK(index >= 0 && index < shape[axis]);
      const float* const from = values.data<float>() + (i * shape[axis] + index) * inner;
      next = std::copy(from, from + inner, next);
    }
  }
  return picked;
}

// Rewrites the way from the inputs to the first layer, from its end.
class Narrowing {
 public:
  Narrowing(const Graph& graph, const FeatureTrace& trace) : trace_(trace), graph_(graph.Clone()) {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const std::string& output : graph.nodes[i].outputs) makers_[output] = i;
      for (const std::string& input : graph.nodes[i].inputs) ++uses_[input];
      for (const auto* values : {&graph.nodes[i].inputs, &graph.nodes[i].outputs}) {
        names_.insert(values->begin(), values->end());
      }
    }
    for (const Initializer& initializer : graph.initializers) names_.insert(initializer.name);
    for (const ValueInfo& input : graph.inputs) names_.insert(input.name);
    before_.resize(graph.nodes.size());
  }

  absl::StatusOr<Graph> Run(const PrunableLayer& layer, const std::string& value,
                            const std::vector<int64_t>& kept) {
    const auto reader = static_cast<size_t>(layer.nodes[0]);
    Node& node = graph_.nodes[reader];
    Replace(&node, 0, NarrowedValue(value, kept, reader));
    Initializer* weight = graph_.FindInitializer(layer.weight);
    weight->value = Pick(weight->value, layer.transposed ? 1 : 0, kept);
    ForgetShapeOf(node.input(1));
    Graph result = graph_.CloneWithoutInitializers();
    result.initializers = std::move(graph_.initializers);
    result.nodes.clear();
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (Node& inserted : before_[i]) result.nodes.push_back(std::move(inserted));
      result.nodes.push_back(std::move(graph_.nodes[i]));
    }
    const auto has_changed = [this](const ValueInfo& info) {
      return changed_.count(info.name) > 0;
    };
    auto& infos = result.value_infos;
    infos.erase(std::remove_if(infos.begin(), infos.end(), has_changed), infos.end());
    RemoveUnused(left_, &result);
    return result;
  }

 private:
  std::string NewName(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !names_.insert(name).second; ++i) name = absl::StrCat(wanted, i);
    return name;
  }

  void Replace(Node* node, size_t operand, const std::string& value) {
    if (node->inputs[operand] == value) return;
    left_.insert(node->inputs[operand]);
    node->inputs[operand] = value;
  }

  void ForgetShapeOf(const std::string& value) { changed_.insert(value); }

  // Columns `kept` of `value`, which has rank 2, for node `reader`. The value keeps its name where
  // what makes it can make less.
  std::string NarrowedValue(const std::string& value, const std::vector<int64_t>& kept,
                            size_t reader) {
    if (static_cast<int64_t>(kept.size()) == trace_.ShapeOf(value)[1]) return value;
    const auto maker = makers_.find(value);
    if (maker != makers_.end() && uses_[value] == 1 && NarrowNode(maker->second, kept)) {
      ForgetShapeOf(value);
      return value;
    }
    return Gathered(value, kept, reader);
  }

  std::string Gathered(const std::string& value, const std::vector<int64_t>& kept, size_t reader) {
    Node gather;
    gather.op_type = "Gather";
    gather.name = NewName(absl::StrCat(value, ".selection"));
    const std::string indices = NewName(absl::StrCat(value, ".selected_columns"));
    graph_.initializers.push_back(
        {indices, Tensor::FromVector(Shape({static_cast<int64_t>(kept.size())}), kept), ""});
    gather.inputs = {value, indices};
    gather.outputs = {NewName(absl::StrCat(value, ".selected"))};
    gather.attributes = {{"axis", int64_t{1}}};
    before_[reader].push_back(gather);
    return before_[reader].back().outputs[0];
  }

  // Whether node `index` now makes columns `kept` of its result alone.
  bool NarrowNode(size_t index, const std::vector<int64_t>& kept) {
    Node& node = graph_.nodes[index];
    if (node.op_type == "Concat") return NarrowConcat(index, kept);
    const bool binary = FeatureTrace::IsBinary(node);
    const size_t operand = binary && !trace_.Has(node.input(0)) ? 1 : 0;
    const std::string source = node.input(operand);
    if (!trace_.Has(source) || trace_.ShapeOf(source).rank() != 2) return false;
    if (node.op_type == "BatchNormalization") {
      if (!std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                       [this](const std::string& name) { return CanPick(name); })) {
        return false;
      }
      for (size_t i = 1; i < 5; ++i) PickColumns(node.input(i), kept);
    } else if (binary) {
      if (!NarrowConstant(node.input(1 - operand), kept)) return false;
    } else if (!FeatureTrace::IsElementwise(node) && node.op_type != "Identity" &&
               node.op_type != "Flatten") {
      return false;
    }
    Replace(&node, operand, NarrowedValue(source, kept, index));
    return true;
  }

  // A part that nothing is kept of goes.
  bool NarrowConcat(size_t index, const std::vector<int64_t>& kept) {
    Node& node = graph_.nodes[index];
    std::vector<std::string> parts;
    int64_t begin = 0;
    auto next = kept.begin();
    for (const std::string& part : node.inputs) {
      const int64_t width = trace_.ShapeOf(part)[1];
      std::vector<int64_t> of_part;
      for (; next != kept.end() && *next < begin + width; ++next) of_part.push_back(*next - begin);
      begin += width;
      if (of_part.empty()) {
        left_.insert(part);
        continue;
      }
      parts.push_back(NarrowedValue(part, of_part, index));
      if (parts.back() != part) left_.insert(part);
    }
    node.inputs = std::move(parts);
    return true;
  }

  // Parameters that are read once can be narrowed in place.
  bool CanPick(const std::string& name) {
    return graph_.FindInitializer(name) != nullptr && uses_[name] == 1;
  }

  void PickColumns(const std::string& name, const std::vector<int64_t>& kept) {
    Initializer* initializer = graph_.FindInitializer(name);
    initializer->value = Pick(initializer->value, initializer->value.shape().rank() - 1, kept);
    ForgetShapeOf(name);
  }

  bool NarrowConstant(const std::string& name, const std::vector<int64_t>& kept) {
    const Shape& shape = trace_.ShapeOf(name);
    if (shape.rank() == 0 || shape[shape.rank() - 1] == 1) return shape.element_count() == 1;
    if (!CanPick(name)) return false;
    PickColumns(name, kept);
    return true;
  }

  const FeatureTrace& trace_;
  Graph graph_;
  std::map<std::string, size_t> makers_;
  std::map<std::string, int> uses_;
  std::set<std::string> names_;
  std::vector<std::vector<Node>> before_;  // New nodes, by the one that they come before.
  std::set<std::string> left_;             // Values that have lost a reader.
  std::set<std::string> changed_;          // Values whose declared shape is not theirs any more.
};

}  // namespace

absl::StatusOr<Graph> NarrowFeatures(const Graph& graph, const FeatureLayer& features,
                                     absl::Span<const int64_t> kept) {
  CHECK(!kept.empty() && std::is_sorted(kept.begin(), kept.end()) && kept.front() >= 0 &&
        kept.back() < features.layer.rows);
  ASSIGN_OR_RETURN(const FeatureTrace trace, FeatureTrace::Create(graph));
  return Narrowing(graph, trace).Run(features.layer, features.value, {kept.begin(), kept.end()});
}

}  // namespace topiary
