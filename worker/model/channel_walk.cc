#include "worker/model/channel_walk.h"

#include <algorithm>
#include <unordered_map>

#include "worker/model/op_params.h"

namespace topiary {

ChannelWalk::Rule ChannelWalk::RuleOf(const std::string& op_type) {
  static const auto* const kRules = new std::unordered_map<std::string, Rule>{
      {"Conv", &ChannelWalk::Convolution},
      {"Gemm", &ChannelWalk::Gemm},
      {"MatMul", &ChannelWalk::MatMul},
      {"Gather", &ChannelWalk::Gather},
      {"BatchNormalization", &ChannelWalk::BatchNorm},
      {"Add", &ChannelWalk::ElementWise},
      {"Sub", &ChannelWalk::ElementWise},
      {"Mul", &ChannelWalk::ElementWise},
      {"Div", &ChannelWalk::Quotient},
      {"Softmax", &ChannelWalk::Softmax},
      {"LogSoftmax", &ChannelWalk::Softmax},
      {"LayerNormalization", &ChannelWalk::LayerNorm},
      {"Flatten", &ChannelWalk::Reshape},
      {"Reshape", &ChannelWalk::Reshape},
      {"Squeeze", &ChannelWalk::Squeeze},
      {"Unsqueeze", &ChannelWalk::Unsqueeze},
      {"Transpose", &ChannelWalk::Transpose},
      {"Concat", &ChannelWalk::Concat},
      {"AveragePool", &ChannelWalk::Pool},
      {"Cast", &ChannelWalk::Same},
      {"Clip", &ChannelWalk::Same},
      {"Dropout", &ChannelWalk::Same},
      {"Erf", &ChannelWalk::Same},
      {"Gelu", &ChannelWalk::Same},
      {"GlobalAveragePool", &ChannelWalk::Pool},
      {"Identity", &ChannelWalk::Same},
      {"LeakyRelu", &ChannelWalk::Same},
      {"MaxPool", &ChannelWalk::Pool},
      {"Relu", &ChannelWalk::Same},
      {"Sigmoid", &ChannelWalk::Same},
      {"Tanh", &ChannelWalk::Same},
  };
  const auto found = kRules->find(op_type);
  return found == kRules->end() ? nullptr : found->second;
}

void ChannelWalk::Run() {
  std::set<int> live(inferred_.live_nodes.begin(), inferred_.live_nodes.end());
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    const Rule rule = live.count(static_cast<int>(i)) > 0 ? RuleOf(node.op_type) : nullptr;
    // A node that is not live may compute shapes from the extents of a value.
    if (ReadsOtherExtents(node)) continue;
    if (rule == nullptr || !(this->*rule)(node)) FixInputs(node);
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      // A transposed weight is understood as the matrix of a layer only.
      const bool layer = k == 1 && operands_.Of(node).has_value();
      if (operands_.IsTransposition(node.input(k)) && !layer) {
        fixed_weights_.insert(operands_.Behind(node.input(k)));
      }
    }
  }
  for (const ValueInfo& output : graph_.outputs) {
    if (const AxisChannels* channels = ValueOf(output.name)) sets_.Fix(channels->range);
    fixed_weights_.insert(operands_.Behind(output.name));
  }
  for (const auto& [key, range] : weights_) {
    if (fixed_weights_.count(key.first) > 0 || fixed_axes_.count(key) > 0) sets_.Fix(range);
  }
}

void ChannelWalk::FixInputs(const Node& node) {
  for (const std::string& input : node.inputs) {
    if (const AxisChannels* channels = ValueOf(input)) sets_.Fix(channels->range);
    fixed_weights_.insert(operands_.Behind(input));
  }
}

// What reads a weight along `axis` gives up nothing along its other axes.
void ChannelWalk::FixOtherAxes(const std::string& weight, int axis) {
  for (int other = 0; other < ShapeOf(weight).rank(); ++other) {
    if (other != axis) fixed_axes_.emplace(weight, other);
  }
}

// Whether `node` is a Shape of which nothing but extents along axes without channels is read.
bool ChannelWalk::ReadsOtherExtents(const Node& node) const {
  const AxisChannels* src = node.op_type == "Shape" ? ValueOf(node.input(0)) : nullptr;
  const auto users = users_.find(node.output(0));
  if (src == nullptr || !node.attributes.empty() || users == users_.end()) return false;
  const int rank = ShapeOf(node.input(0)).rank();
  return std::all_of(users->second.begin(), users->second.end(), [&](const Node* user) {
    if (user == nullptr || user->op_type != "Gather" || user->input(1) == node.output(0)) {
      return false;
    }
    const Tensor* indices = ConstantValue(graph_, inferred_, user->input(1));
    const auto listed =
        indices == nullptr ? absl::StatusOr<std::vector<int64_t>>() : IntegerValues(*indices);
    return listed.ok() && std::all_of(listed->begin(), listed->end(), [&](int64_t index) {
             return index != src->axis && index + rank != src->axis;
           });
  });
}

void ChannelWalk::JoinValue(const std::string& name, int axis, const ChannelRange& range) {
  const AxisChannels* channels = ValueOf(name);
  if (channels != nullptr && channels->axis == axis) {
    sets_.Join(channels->range, range);
    return;
  }
  sets_.Fix(range);
  if (channels != nullptr) sets_.Fix(channels->range);
}

// weights [out, in / groups, ...]: the channels in and out of one group stay or go together where
// there are several groups.
bool ChannelWalk::Convolution(const Node& node) {
  const std::string& weight = node.input(1);
  const std::string bias = node.inputs.size() > 2 ? node.input(2) : "";
  if (!IsWeight(weight) || (!bias.empty() && !IsWeight(bias))) return false;
  const auto params = ReadConv(node, ShapeOf(node.input(0)), ShapeOf(weight));
  if (!params.ok() || ShapeOf(weight)[0] == 0 || ShapeOf(weight)[1] == 0) return false;
  const ChannelRange out = Make(node, 1);
  sets_.Join(WeightAxis(weight, 0), out);
  if (!bias.empty()) sets_.Join(WeightAxis(bias, 0), out);
  if (params->group == 1) {
    JoinValue(node.input(0), 1, WeightAxis(weight, 1));
    return true;
  }
  // Each of them is an input of every group, and none of another convolution that shares the
  // weight.
  fixed_axes_.emplace(weight, 1);
  const ChannelRange in = sets_.New(ShapeOf(node.input(0))[1]);
  JoinValue(node.input(0), 1, in);
  const int64_t ins = in.extent / params->group;
  const int64_t outs = out.extent / params->group;
  for (int64_t i = 0; i < in.extent; ++i) {
    sets_.Join(in.first + i, out.first + i / ins * outs);
  }
  for (int64_t o = 0; o < out.extent; ++o) {
    sets_.Join(out.first + o, out.first + o / outs * outs);
  }
  return true;
}

bool ChannelWalk::Gemm(const Node& node) {
  const auto operand = operands_.Of(node);
  const std::string bias = node.inputs.size() > 2 ? node.input(2) : "";
  if (!operand.has_value() || ReadGemm(node)->trans_a) return false;
  if (!operands_.Behind(node.input(0)).empty() || (!bias.empty() && !IsWeight(bias))) return false;
  const ChannelRange out = Make(node, 1);
  sets_.Join(WeightAxis(operand->weight, operand->out_axis), out);
  JoinValue(node.input(0), 1, WeightAxis(operand->weight, operand->in_axis));
  if (!bias.empty()) JoinOperand(bias, 1, out);
  return true;
}

bool ChannelWalk::MatMul(const Node& node) {
  const auto operand = operands_.Of(node);
  if (!operand.has_value()) return BatchedMatMul(node);
  const int rank = ShapeOf(node.input(0)).rank();
  if (!operands_.Behind(node.input(0)).empty() || rank < 2) return false;
  sets_.Join(WeightAxis(operand->weight, operand->out_axis), Make(node, rank - 1));
  JoinValue(node.input(0), rank - 1, WeightAxis(operand->weight, operand->in_axis));
  return true;
}

// A product for each index along an axis before the matrices' two, as one for each head.
bool ChannelWalk::BatchedMatMul(const Node& node) {
  const Shape& dst = ShapeOf(node.output(0));
  int from_end = 0;
  for (const size_t i : {0, 1}) {
    const std::string& input = node.input(i);
    if (!operands_.Behind(input).empty() || ShapeOf(input).rank() < 2) return false;
    const AxisChannels* channels = ValueOf(input);
    const int here = channels == nullptr ? 0 : ShapeOf(input).rank() - channels->axis;
    // Rows, columns, and what one index gives to many products stay.
    if (here < 3 || channels->range.extent != dst[dst.rank() - here]) continue;
    if (from_end != 0 && from_end != here) return false;
    from_end = here;
  }
  if (from_end == 0) return false;
  const ChannelRange out = Make(node, dst.rank() - from_end);
  for (const size_t i : {0, 1}) {
    const std::string& input = node.input(i);
    const AxisChannels* channels = ValueOf(input);
    const int axis = ShapeOf(input).rank() - from_end;
    if (channels != nullptr && channels->axis != axis) sets_.Fix(channels->range);
    if (axis < 0) continue;
    if (ShapeOf(input)[axis] == out.extent) {
      if (channels == nullptr || channels->axis == axis)
        JoinValue(input, axis, out);
      else
        sets_.Fix(out);
    } else if (channels != nullptr) {
      sets_.Fix(channels->range);
    }
  }
  return true;
}

bool ChannelWalk::BatchNorm(const Node& node) {
  for (size_t i = 1; i < 5; ++i) {
    if (!IsWeight(node.input(i))) return false;
  }
  const ChannelRange out = Make(node, 1);
  JoinValue(node.input(0), 1, out);
  for (size_t i = 1; i < 5; ++i) sets_.Join(WeightAxis(node.input(i), 0), out);
  return true;
}

// The channels of the first operand become those of the result, along `axis`.
bool ChannelWalk::MoveAxis(const Node& node, int axis) {
  const ChannelRange src = ValueOf(node.input(0))->range;
  if (ShapeOf(node.output(0))[axis] != src.extent) return false;
  sets_.Join(src, Make(node, axis));
  return true;
}

// Operands after the first configure the node.
bool ChannelWalk::Same(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  return src != nullptr && MoveAxis(node, src->axis);
}

// Over the axes after the channels.
bool ChannelWalk::Pool(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  return src != nullptr && src->axis == 1 && MoveAxis(node, 1);
}

// `range` lies along the axis that is `axis_from_end` from the last of the result. What is
// stretched along it has nothing to give up.
void ChannelWalk::JoinOperand(const std::string& name, int axis_from_end,
                              const ChannelRange& range) {
  const Shape& shape = ShapeOf(name);
  const int axis = shape.rank() - axis_from_end;
  const bool stretched = axis < 0 || (shape[axis] == 1 && range.extent != 1);
  if (IsWeight(name)) FixOtherAxes(name, stretched ? -1 : axis);
  if (stretched) return;
  if (IsWeight(name)) {
    sets_.Join(WeightAxis(name, axis), range);
  } else {
    JoinValue(name, axis, range);
  }
}

bool ChannelWalk::ElementWise(const Node& node) {
  const int rank = ShapeOf(node.output(0)).rank();
  int from_end = 0;
  for (const std::string& input : node.inputs) {
    if (const AxisChannels* channels = ValueOf(input)) {
      const int here = ShapeOf(input).rank() - channels->axis;
      // Two values whose channels lie along different axes.
      if (from_end != 0 && from_end != here) return false;
      // A value that is stretched along its channels: one channel becomes many.
      if (channels->range.extent != ShapeOf(node.output(0))[rank - here]) return false;
      from_end = here;
    }
  }
  if (from_end == 0) return false;
  const ChannelRange out = Make(node, rank - from_end);
  for (const std::string& input : node.inputs) JoinOperand(input, from_end, out);
  return true;
}

// What is made to divide by stays: a channel of which nothing is left would be 0 / 0.
bool ChannelWalk::Quotient(const Node& node) {
  if (!ElementWise(node)) return false;
  if (const AxisChannels* divisor = ValueOf(node.input(1))) sets_.Fix(divisor->range);
  return true;
}

}  // namespace topiary
