// How ChannelCoupling reads a graph: one rule per operator. Not for others.
#ifndef TOPIARY_WORKER_MODEL_CHANNEL_WALK_H_
#define TOPIARY_WORKER_MODEL_CHANNEL_WALK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/model/channel_coupling.h"
#include "worker/model/channel_sets.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/model/weight_operands.h"

namespace topiary {

struct AxisChannels {
  int axis;
  ChannelRange range;
};

// Walks a graph once, from the inputs to the outputs.
class ChannelWalk {
 public:
  ChannelWalk(const Graph& graph, const InferredGraph& inferred)
      : graph_(graph), inferred_(inferred), operands_(graph, inferred) {
    for (const Node& node : graph.nodes) {
      for (const std::string& input : node.inputs) users_[input].push_back(&node);
    }
    for (const ValueInfo& output : graph.outputs) users_[output.name].push_back(nullptr);
  }

  void Run();

  ChannelSets& sets() { return sets_; }
  const std::map<std::string, AxisChannels>& values() const { return values_; }
  const std::map<std::pair<std::string, int>, ChannelRange>& weights() const { return weights_; }
  const std::vector<ReshapedChannels>& reshapes() const { return reshapes_; }

 private:
  using Rule = bool (ChannelWalk::*)(const Node&);
  static Rule RuleOf(const std::string& op_type);

  // Each joins the channels of what the node reads and makes. False: not understood, and nothing
  // was joined.
  bool Convolution(const Node& node);
  bool Gemm(const Node& node);
  bool MatMul(const Node& node);
  bool BatchedMatMul(const Node& node);
  bool Gather(const Node& node);
  bool BatchNorm(const Node& node);
  bool Same(const Node& node);
  bool Pool(const Node& node);
  bool ElementWise(const Node& node);
  bool Quotient(const Node& node);
  bool Softmax(const Node& node);
  bool LayerNorm(const Node& node);
  bool Reshape(const Node& node);
  bool Squeeze(const Node& node);
  bool Unsqueeze(const Node& node);
  bool Transpose(const Node& node);
  bool Concat(const Node& node);

  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }
  bool IsWeight(const std::string& name) const {
    return !operands_.IsTransposition(name) && !operands_.Behind(name).empty();
  }
  // Null if the value has no channels.
  const AxisChannels* ValueOf(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }
  ChannelRange WeightAxis(const std::string& name, int axis) {
    const auto [at, added] = weights_.try_emplace({name, axis}, ChannelRange{});
    if (added) at->second = sets_.New(ShapeOf(name)[axis]);
    return at->second;
  }
  // The node's first output gets channels of their own.
  ChannelRange Make(const Node& node, int axis) {
    const ChannelRange range = sets_.New(ShapeOf(node.output(0))[axis]);
    values_[node.output(0)] = {axis, range};
    return range;
  }
  // The channels of `name` along `axis` and `range` go together, or those of `range` stay where
  // `name` has none there.
  void JoinValue(const std::string& name, int axis, const ChannelRange& range);
  void JoinOperand(const std::string& name, int axis_from_end, const ChannelRange& range);
  bool MoveAxis(const Node& node, int axis);
  bool PicksElements(const std::string& value, int axis, bool transposed) const;
  bool ReadsOtherExtents(const Node& node) const;
  void FixOtherAxes(const std::string& weight, int axis);
  void FixInputs(const Node& node);

  const Graph& graph_;
  const InferredGraph& inferred_;
  const WeightOperands operands_;
  std::map<std::string, std::vector<const Node*>> users_;  // Null for the graph's caller.
  ChannelSets sets_;
  std::map<std::string, AxisChannels> values_;
  std::map<std::pair<std::string, int>, ChannelRange> weights_;
  std::vector<ReshapedChannels> reshapes_;
  std::set<std::string> fixed_weights_;
  std::set<std::pair<std::string, int>> fixed_axes_;  // Of weights.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_CHANNEL_WALK_H_
