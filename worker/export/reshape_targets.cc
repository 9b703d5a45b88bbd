#include "worker/export/reshape_targets.h"

#include <algorithm>
#include <string>

#include "worker/model/op_params.h"
#include "worker/model/reshaped_axis.h"

namespace topiary {
namespace {

using Target = std::vector<int64_t>;

// Whether `name` holds numbers that the file gives.
bool IsWritten(const Graph& graph, const std::string& name) {
  if (graph.FindInitializer(name) != nullptr) return true;
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return node.op_type == "Constant" && node.output(0) == name;
  });
}

// Whether the channels are at the same place for another batch.
bool SamePlace(const Shape& from, const Shape& to, const ReshapedChannels& reshape,
               const Shape& other_from, const Shape& other_to) {
  if (other_from.rank() != from.rank() || other_to.rank() != to.rank()) return false;
  const auto first = FindReshapedAxis(from, reshape.src_axis, to, 0);
  if (!first.has_value()) return false;
  const int skipped = reshape.dst_axis - first->axis;
  const auto place = FindReshapedAxis(other_from, reshape.src_axis, other_to, skipped);
  return place.has_value() && place->axis == reshape.dst_axis &&
         other_from[reshape.src_axis] == from[reshape.src_axis] &&
         other_to[reshape.dst_axis] == to[reshape.dst_axis];
}

Target FromWritten(Target target, bool zero_copies, const Shape& to,
                   const ReshapedChannels& reshape, int64_t extent) {
  for (int axis = 0; axis < static_cast<int>(target.size()); ++axis) {
    const bool copies = target[axis] == 0 && zero_copies;
    if (axis == reshape.dst_axis) {
      if (target[axis] != -1 && !(copies && axis == reshape.src_axis)) target[axis] = extent;
    } else if (copies && axis == reshape.src_axis) {
      target[axis] = to[axis];
    }
  }
  return target;
}

// `other_from` and `other_to` are those of another batch.
absl::optional<Target> FromShapes(const Shape& from, const Shape& to, const Shape& other_from,
                                  const Shape& other_to, const ReshapedChannels& reshape,
                                  int64_t extent) {
  Target target;
  for (int axis = 0; axis < to.rank(); ++axis) {
    if (axis == reshape.dst_axis) {
      target.push_back(extent);
    } else if (axis < from.rank() && axis != reshape.src_axis && from[axis] == to[axis] &&
               other_from[axis] == other_to[axis]) {
      target.push_back(0);
    } else if (to[axis] == other_to[axis]) {
      target.push_back(to[axis]);
    } else if (axis == 0) {
      target.push_back(-1);
    } else {
      return absl::nullopt;
    }
  }
  return target;
}

}  // namespace

absl::optional<Target> NarrowedTarget(const Graph& graph, const InferredGraph& inferred,
                                      const InferredGraph* other, const ReshapedChannels& reshape,
                                      int64_t extent) {
  const Node& node = graph.nodes[reshape.node];
  const InferredGraph& elsewhere = other == nullptr ? inferred : *other;
  const Shape& from = inferred.values.at(node.input(0)).shape;
  const Shape& to = inferred.values.at(node.output(0)).shape;
  const Shape& other_from = elsewhere.values.at(node.input(0)).shape;
  const Shape& other_to = elsewhere.values.at(node.output(0)).shape;
  if (!SamePlace(from, to, reshape, other_from, other_to)) return absl::nullopt;
  if (node.op_type != "Reshape") return Target();
  const Tensor* operand = ConstantValue(graph, inferred, node.input(1));
  if (operand == nullptr) return absl::nullopt;
  if (!IsWritten(graph, node.input(1))) {
    return FromShapes(from, to, other_from, other_to, reshape, extent);
  }
  const absl::StatusOr<Target> written = IntegerValues(*operand);
  if (!written.ok()) return absl::nullopt;
  const bool zero_copies = IntAttribute(node, "allowzero", 0).value_or(0) == 0;
  return FromWritten(*written, zero_copies, to, reshape, extent);
}

}  // namespace topiary
