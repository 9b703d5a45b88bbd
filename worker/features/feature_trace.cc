#include "worker/features/feature_trace.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = 2;  // Tells the axis of the batch from those of extent 1.

template <size_t n>
bool IsOneOf(const Node& node, const char* const (&types)[n]) {
  return std::find(std::begin(types), std::end(types), node.op_type) != std::end(types);
}

bool HasBatch(const Shape& shape) { return shape.rank() >= 1 && shape[0] == kBatch; }

}  // namespace

bool FeatureTrace::IsElementwise(const Node& node) {
  return IsOneOf(
      node, {"Cast", "Clip", "Dropout", "Erf", "Gelu", "LeakyRelu", "Relu", "Sigmoid", "Tanh"});
}

bool FeatureTrace::IsBinary(const Node& node) {
  return IsOneOf(node, {"Add", "Div", "Mul", "Sub"});
}

bool FeatureTrace::OnlyReshapes(const Node& node) {
  return IsOneOf(node, {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"});
}

absl::StatusOr<FeatureTrace> FeatureTrace::Create(const Graph& graph) {
  FeatureTrace trace(graph);
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, kBatch));
  ASSIGN_OR_RETURN(trace.inferred_, InferShapes(graph, shapes));
  for (const ValueInfo& input : graph.inputs) {
    const Shape& shape = trace.ShapeOf(input.name);
    if (!HasBatch(shape)) continue;
    std::vector<InputElement>& elements = trace.elements_[input.name];
    for (int64_t i = 0; i < shape.element_count() / kBatch; ++i) {
      elements.push_back({input.name, i});
    }
  }
  for (const int index : trace.inferred_.live_nodes) trace.Follow(graph.nodes[index]);
  return trace;
}

bool FeatureTrace::IsParameter(const std::string& name) const {
  return ConstantValue(*graph_, inferred_, name) != nullptr;
}

void FeatureTrace::Follow(const Node& node) {
  if (IsBinary(node)) return FollowBinary(node);
  if (node.op_type == "Concat") return FollowConcat(node);
  if (node.op_type == "Gather") return FollowGather(node);
  if (!Has(node.input(0)) || !HasBatch(ShapeOf(node.output(0)))) return;
  // Statistics of other shapes would be shared by several features.
  const bool normalizes =
      node.op_type == "BatchNormalization" && ShapeOf(node.input(0)).rank() == 2;
  if (!normalizes && !IsElementwise(node) && !OnlyReshapes(node)) return;
  elements_[node.output(0)] = ElementsOf(node.input(0));
}

// One of the two is a constant that does not make more of the other than it is.
void FeatureTrace::FollowBinary(const Node& node) {
  for (int i = 0; i < 2; ++i) {
    const std::string& value = node.input(i);
    if (!Has(value) || !IsParameter(node.input(1 - i))) continue;
    if (ShapeOf(node.output(0)) == ShapeOf(value)) elements_[node.output(0)] = ElementsOf(value);
  }
}

void FeatureTrace::FollowConcat(const Node& node) {
  const Shape& whole = ShapeOf(node.output(0));
  const absl::StatusOr<int> axis = ReadAxis(node, whole.rank());
  if (!axis.ok() || *axis == 0 || !HasBatch(whole)) return;
  for (const std::string& part : node.inputs) {
    if (!Has(part)) return;
  }
  int64_t outer = 1;
  for (int i = 1; i < *axis; ++i) outer *= whole[i];
  std::vector<InputElement> elements;
  for (int64_t i = 0; i < outer; ++i) {
    for (const std::string& part : node.inputs) {
      const std::vector<InputElement>& from = ElementsOf(part);
      const auto run = static_cast<int64_t>(from.size()) / outer;
      elements.insert(elements.end(), from.begin() + i * run, from.begin() + (i + 1) * run);
    }
  }
  elements_[node.output(0)] = std::move(elements);
}

// Rows of a table by ids, or columns of a value by constants.
void FeatureTrace::FollowGather(const Node& node) {
  const Shape& src = ShapeOf(node.input(0));
  const absl::StatusOr<int> axis = ReadAxis(node, src.rank());
  if (!axis.ok() || !HasBatch(ShapeOf(node.output(0)))) return;
  if (Has(node.input(1)) && IsParameter(node.input(0)) && *axis == 0) {
    const int64_t width = src.element_count() / std::max<int64_t>(1, src[0]);
    std::vector<InputElement> elements;
    for (const InputElement& id : ElementsOf(node.input(1))) {
      elements.insert(elements.end(), static_cast<size_t>(width), id);
    }
    elements_[node.output(0)] = std::move(elements);
    return;
  }
  const Tensor* indices = ConstantValue(*graph_, inferred_, node.input(1));
  if (!Has(node.input(0)) || indices == nullptr || *axis == 0) return;
  int64_t outer = 1, inner = 1;
  for (int i = 1; i < *axis; ++i) outer *= src[i];
  for (int i = *axis + 1; i < src.rank(); ++i) inner *= src[i];
  const std::vector<InputElement>& from = ElementsOf(node.input(0));
  std::vector<InputElement> elements;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t index : indices->span<int64_t>()) {
      if (index < 0) index += src[*axis];
      const auto begin = from.begin() + (i * src[*axis] + index) * inner;
      elements.insert(elements.end(), begin, begin + inner);
    }
  }
  elements_[node.output(0)] = std::move(elements);
}

}  // namespace topiary
