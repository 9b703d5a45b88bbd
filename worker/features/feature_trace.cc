#include "worker/features/feature_trace.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

constexpr int64_t kBatch = 2;  // Tells the axis of the batch from those of extent 1.

template <size_t n>
bool IsOneOf(const Node& node, const char* const (&types)[n]) {
  return std::find(std::begin(types), std::end(types), node.op_type) != std::end(types);
}

absl::Status In(const std::string& place, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(place, ": ", status.message()));
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
  RETURN_IF_ERROR(trace.StartInputs());
  for (const int index : trace.live_nodes()) {
    const Node& node = graph.nodes[index];
    RETURN_IF_ERROR(In(NodeLabel(node, index), trace.Follow(node)));
  }
  return trace;
}

absl::Status FeatureTrace::StartInputs() {
  std::set<std::string> read;
  for (const int index : live_nodes()) {
    const std::vector<std::string>& inputs = graph_->nodes[index].inputs;
    read.insert(inputs.begin(), inputs.end());
  }
  for (const ValueInfo& output : graph_->outputs) read.insert(output.name);
  for (size_t i = 0; i < graph_->inputs.size(); ++i) {
    const std::string& name = graph_->inputs[i].name;
    const Shape& shape = ShapeOf(name);
    if (!HasBatch(shape) || read.count(name) == 0) continue;
    RETURN_IF_ERROR(In(absl::StrCat("input '", name, "'"), Hold(shape)));
    std::vector<InputElement> elements(shape.element_count() / kBatch);
    for (size_t j = 0; j < elements.size(); ++j) {
      elements[j] = {static_cast<int32_t>(i), static_cast<int64_t>(j)};
    }
    Set(name, std::move(elements));
  }
  return absl::OkStatus();
}

absl::Status FeatureTrace::Hold(const Shape& shape) {
  const absl::StatusOr<int64_t> count = shape.CheckedElementCount(kBatch * kMaxElements);
  if (count.ok()) held_elements_ += *count / kBatch;
  if (count.ok() && held_elements_ <= kMaxElements) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("for ", kBatch, " examples it is ", shape.ToString(),
                   ": feature_selection supports at most ", kMaxElements,
                   " numbers of an example in all values before the first layer; give the model "
                   "fewer features"));
}

void FeatureTrace::Set(const std::string& value, std::vector<InputElement> elements) {
  elements_[value] = std::make_shared<const std::vector<InputElement>>(std::move(elements));
}

bool FeatureTrace::IsParameter(const std::string& name) const {
  return ConstantValue(*graph_, inferred_, name) != nullptr;
}

absl::Status FeatureTrace::Follow(const Node& node) {
  if (IsBinary(node)) return FollowBinary(node);
  if (node.op_type == "Concat") return FollowConcat(node);
  if (node.op_type == "Gather") return FollowGather(node);
  if (!Has(node.input(0)) || !HasBatch(ShapeOf(node.output(0)))) return absl::OkStatus();
  // Statistics of other shapes would be shared by several features.
  const bool normalizes =
      node.op_type == "BatchNormalization" && ShapeOf(node.input(0)).rank() == 2;
  if (!normalizes && !IsElementwise(node) && !OnlyReshapes(node)) return absl::OkStatus();
  elements_[node.output(0)] = elements_.at(node.input(0));
  return absl::OkStatus();
}

// One of the two is a constant that does not make more of the other than it is.
absl::Status FeatureTrace::FollowBinary(const Node& node) {
  for (int i = 0; i < 2; ++i) {
    const std::string& value = node.input(i);
    if (!Has(value) || !IsParameter(node.input(1 - i))) continue;
    if (ShapeOf(node.output(0)) == ShapeOf(value)) elements_[node.output(0)] = elements_.at(value);
  }
  return absl::OkStatus();
}

absl::Status FeatureTrace::FollowConcat(const Node& node) {
  const Shape& whole = ShapeOf(node.output(0));
  const absl::StatusOr<int> axis = ReadAxis(node, whole.rank());
  if (!axis.ok() || *axis == 0 || !HasBatch(whole)) return absl::OkStatus();
  for (const std::string& part : node.inputs) {
    if (!Has(part)) return absl::OkStatus();
  }
  RETURN_IF_ERROR(Hold(whole));
  int64_t outer = 1;
  for (int i = 1; i < *axis; ++i) outer *= whole[i];
  std::vector<InputElement> elements;
  elements.reserve(whole.element_count() / kBatch);
  for (int64_t i = 0; i < outer; ++i) {
    for (const std::string& part : node.inputs) {
      const std::vector<InputElement>& from = ElementsOf(part);
      const auto run = static_cast<int64_t>(from.size()) / outer;
      elements.insert(elements.end(), from.begin() + i * run, from.begin() + (i + 1) * run);
    }
  }
  Set(node.output(0), std::move(elements));
  return absl::OkStatus();
}

// Rows of a table by ids, or columns of a value by constants.
absl::Status FeatureTrace::FollowGather(const Node& node) {
  const Shape& src = ShapeOf(node.input(0));
  const absl::StatusOr<int> axis = ReadAxis(node, src.rank());
  if (!axis.ok() || !HasBatch(ShapeOf(node.output(0)))) return absl::OkStatus();
  if (Has(node.input(1)) && IsParameter(node.input(0)) && *axis == 0) {
    return FollowTable(node, src);
  }
  const Tensor* indices = ConstantValue(*graph_, inferred_, node.input(1));
  if (!Has(node.input(0)) || indices == nullptr || *axis == 0) return absl::OkStatus();
  return FollowColumns(node, *axis, *indices);
}

absl::Status FeatureTrace::FollowTable(const Node& node, const Shape& table) {
  RETURN_IF_ERROR(Hold(ShapeOf(node.output(0))));
  const int64_t width = table.element_count() / std::max<int64_t>(1, table[0]);
  std::vector<InputElement> elements;
  for (const InputElement& id : ElementsOf(node.input(1))) {
    elements.insert(elements.end(), static_cast<size_t>(width), id);
  }
  Set(node.output(0), std::move(elements));
  return absl::OkStatus();
}

absl::Status FeatureTrace::FollowColumns(const Node& node, int axis, const Tensor& indices) {
  const Shape& src = ShapeOf(node.input(0));
  RETURN_IF_ERROR(Hold(ShapeOf(node.output(0))));
  int64_t outer = 1, inner = 1;
  for (int i = 1; i < axis; ++i) outer *= src[i];
  for (int i = axis + 1; i < src.rank(); ++i) inner *= src[i];
  const std::vector<InputElement>& from = ElementsOf(node.input(0));
  std::vector<InputElement> elements;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t index : indices.span<int64_t>()) {
      if (index < -src[axis] || index >= src[axis]) {
        return absl::InvalidArgumentError(absl::StrCat(
            "index ", index, " is outside the ", src[axis], " columns of '", node.input(0), "'"));
      }
      if (index < 0) index += src[axis];
      const auto begin = from.begin() + (i * src[axis] + index) * inner;
      elements.insert(elements.end(), begin, begin + inner);
    }
  }
  Set(node.output(0), std::move(elements));
  return absl::OkStatus();
}

}  // namespace topiary
