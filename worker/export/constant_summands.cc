#include "worker/export/constant_summands.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/export/constant_channels.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/unused.h"

namespace topiary {
namespace {

class Pass {
 public:
  Pass(const InferredGraph& inferred, const InferredGraph* other, Graph* graph)
      : inferred_(inferred), other_(other), graph_(*graph), coupling_(*graph, inferred) {
    for (const int index : inferred.live_nodes) {
      for (const std::string& output : graph->nodes[index].outputs) made_.insert(output);
    }
    for (const ValueInfo& input : graph->inputs) made_.insert(input.name);
  }

  bool Run() {
    const ConstantChannels constants = FindConstantChannels(graph_, inferred_, coupling_);
    for (const int index : inferred_.live_nodes) {
      Node& sum = graph_.nodes[index];
      if (sum.op_type != "Add") continue;
      for (const size_t operand : {0, 1}) {
        // A sum of what is no result of the network is folded elsewhere.
        const std::string& other = sum.input(1 - operand);
        const auto found = constants.find(sum.input(operand));
        if (found == constants.end() || made_.count(other) == 0 || !AllKnown(found->second)) {
          continue;
        }
        if (!TakeOut(operand, found->second, &sum)) continue;
        left_.insert(found->first);
        break;
      }
    }
    if (left_.empty()) return false;
    RemoveUnused(left_, &graph_);
    return true;
  }

 private:
  using Constants = std::vector<absl::optional<float>>;

  static bool AllKnown(const Constants& constants) {
    return std::all_of(constants.begin(), constants.end(),
                       [](const absl::optional<float>& value) { return value.has_value(); });
  }

  const Shape& ShapeOf(const std::string& value) const { return inferred_.values.at(value).shape; }

  // Whether `value` plus something of `shape` has the shape of `sum`, whatever the batch.
  bool HasShapeOf(const std::string& sum, const std::string& value, const Shape& shape) const {
    const auto same = [&](const InferredGraph& inferred) {
      const absl::StatusOr<Shape> found = BroadcastShapes(inferred.values.at(value).shape, shape);
      return found.ok() && *found == inferred.values.at(sum).shape;
    };
    return same(inferred_) && (other_ == nullptr || same(*other_));
  }

  // False: the summand is needed for its shape, and nothing was done.
  bool TakeOut(size_t operand, const Constants& constants, Node* sum) {
    const bool zero = std::all_of(constants.begin(), constants.end(),
                                  [](const absl::optional<float>& value) { return *value == 0; });
    const std::string other = sum->input(1 - operand);
    const std::string gone = sum->output(0);
    if (!zero || !HasShapeOf(gone, other, Shape())) {
      if (!HasShapeOf(gone, other, ShapeAlongChannels(sum->input(operand)))) return false;
      sum->inputs[operand] = Initialized(sum->input(operand), constants);
      return true;
    }
    if (IsOutput(gone)) {
      sum->op_type = "Identity";
      sum->inputs = {other};
      return true;
    }
    for (Node& node : graph_.nodes) {
      std::replace(node.inputs.begin(), node.inputs.end(), gone, other);
    }
    left_.insert(gone);
    return true;
  }

  bool IsOutput(const std::string& value) const {
    return std::any_of(graph_.outputs.begin(), graph_.outputs.end(),
                       [&](const ValueInfo& output) { return output.name == value; });
  }

  // Of what differs from channel to channel of `value` alone.
  Shape ShapeAlongChannels(const std::string& value) const {
    const Shape& shape = ShapeOf(value);
    const int axis = *coupling_.ChannelAxis(value);
    Shape::Dims dims(shape.rank() - axis, 1);
    dims[0] = shape[axis];
    return Shape(absl::MakeConstSpan(dims));
  }

  // The name of an initializer of `constants` along the channels of `value`.
  std::string Initialized(const std::string& value, const Constants& constants) {
    std::string name = absl::StrCat(value, ".constant");
    while (inferred_.values.count(name) > 0 || graph_.FindInitializer(name) != nullptr) name += '_';
    Tensor tensor(DType::kFloat32, ShapeAlongChannels(value));
    for (size_t i = 0; i < constants.size(); ++i) tensor.data<float>()[i] = *constants[i];
    graph_.initializers.push_back({name, std::move(tensor), ""});
    return name;
  }

  const InferredGraph& inferred_;
  const InferredGraph* const other_;
  Graph& graph_;
  const ChannelCoupling coupling_;
  std::set<std::string> made_;  // By live nodes and the caller.
  std::set<std::string> left_;
};

}  // namespace

bool TakeConstantSummandsOut(const InferredGraph& inferred, const InferredGraph* other,
                             Graph* graph) {
  return Pass(inferred, other, graph).Run();
}

}  // namespace topiary
