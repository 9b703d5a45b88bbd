#include "worker/model/channel_coupling.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <unordered_map>

#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Consecutive channels.
struct Range {
  int64_t first = 0;
  int64_t extent = 0;
};

// Sets of channels that go together (union-find).
class ChannelSets {
 public:
  Range New(int64_t extent) {
    const Range range{static_cast<int64_t>(parents_.size()), extent};
    for (int64_t i = 0; i < extent; ++i) parents_.push_back(range.first + i);
    fixed_.resize(parents_.size(), false);
    return range;
  }

  int64_t Find(int64_t channel) {
    while (parents_[channel] != channel) {
      parents_[channel] = parents_[parents_[channel]];
      channel = parents_[channel];
    }
    return channel;
  }

  void Join(int64_t a, int64_t b) {
    const int64_t from = Find(a);
    const int64_t to = Find(b);
    parents_[from] = to;
    fixed_[to] = fixed_[to] || fixed_[from];
  }

  void Join(const Range& a, const Range& b) {
    for (int64_t i = 0; i < a.extent; ++i) Join(a.first + i, b.first + i);
  }

  void Fix(const Range& range) {
    for (int64_t i = 0; i < range.extent; ++i) fixed_[Find(range.first + i)] = true;
  }

  bool IsFixed(int64_t channel) { return fixed_[Find(channel)]; }

 private:
  std::vector<int64_t> parents_;
  std::vector<bool> fixed_;  // By the set's root.
};

struct AxisChannels {
  int axis;
  Range range;
};

// Walks a graph once, from the inputs to the outputs.
class Walk {
 public:
  Walk(const Graph& graph, const InferredGraph& inferred) : graph_(graph), inferred_(inferred) {
    for (const Initializer& initializer : graph.initializers) {
      initializers_.insert(initializer.name);
    }
  }

  void Run();

  ChannelSets& sets() { return sets_; }
  const std::map<std::string, AxisChannels>& values() const { return values_; }
  const std::map<std::pair<std::string, int>, Range>& weights() const { return weights_; }

 private:
  using Rule = bool (Walk::*)(const Node&);
  static Rule RuleOf(const std::string& op_type);

  // Each joins the channels of what the node reads and makes. False: not understood, and nothing
  // was joined.
  bool Convolution(const Node& node);
  bool Gemm(const Node& node);
  bool MatMul(const Node& node);
  bool Gather(const Node& node);
  bool BatchNorm(const Node& node);
  bool Same(const Node& node);
  bool Pool(const Node& node);
  bool ElementWise(const Node& node);
  bool Flatten(const Node& node);
  bool Reshape(const Node& node);
  bool Squeeze(const Node& node);
  bool Unsqueeze(const Node& node);
  bool Transpose(const Node& node);
  bool Concat(const Node& node);

  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }
  bool IsWeight(const std::string& name) const { return initializers_.count(name) > 0; }
  // Null if the value has no channels.
  const AxisChannels* ValueOf(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }
  Range WeightAxis(const std::string& name, int axis) {
    const auto [at, added] = weights_.try_emplace({name, axis}, Range{});
    if (added) at->second = sets_.New(ShapeOf(name)[axis]);
    return at->second;
  }
  // The node's first output gets channels of their own.
  Range Make(const Node& node, int axis) {
    const Range range = sets_.New(ShapeOf(node.output(0))[axis]);
    values_[node.output(0)] = {axis, range};
    return range;
  }
  // The channels of `name` along `axis` and `range` go together, or those of `range` stay where
  // `name` has none there.
  void JoinValue(const std::string& name, int axis, const Range& range);
  void JoinOperand(const std::string& name, int axis_from_end, const Range& range);
  bool MoveAxis(const Node& node, int axis);
  bool FlattenFrom(const Node& node);
  void FixInputs(const Node& node);

  const Graph& graph_;
  const InferredGraph& inferred_;
  std::set<std::string> initializers_;
  ChannelSets sets_;
  std::map<std::string, AxisChannels> values_;
  std::map<std::pair<std::string, int>, Range> weights_;
  std::set<std::string> fixed_weights_;
};

Walk::Rule Walk::RuleOf(const std::string& op_type) {
  static const auto* const kRules = new std::unordered_map<std::string, Rule>{
      {"Conv", &Walk::Convolution},
      {"Gemm", &Walk::Gemm},
      {"MatMul", &Walk::MatMul},
      {"Gather", &Walk::Gather},
      {"BatchNormalization", &Walk::BatchNorm},
      {"Add", &Walk::ElementWise},
      {"Sub", &Walk::ElementWise},
      {"Mul", &Walk::ElementWise},
      {"Div", &Walk::ElementWise},
      {"Flatten", &Walk::Flatten},
      {"Reshape", &Walk::Reshape},
      {"Squeeze", &Walk::Squeeze},
      {"Unsqueeze", &Walk::Unsqueeze},
      {"Transpose", &Walk::Transpose},
      {"Concat", &Walk::Concat},
      {"AveragePool", &Walk::Pool},
      {"Cast", &Walk::Same},
      {"Clip", &Walk::Same},
      {"Dropout", &Walk::Same},
      {"Erf", &Walk::Same},
      {"Gelu", &Walk::Same},
      {"GlobalAveragePool", &Walk::Pool},
      {"Identity", &Walk::Same},
      {"LeakyRelu", &Walk::Same},
      {"MaxPool", &Walk::Pool},
      {"Relu", &Walk::Same},
      {"Sigmoid", &Walk::Same},
      {"Tanh", &Walk::Same},
  };
  const auto found = kRules->find(op_type);
  return found == kRules->end() ? nullptr : found->second;
}

void Walk::Run() {
  std::set<int> live(inferred_.live_nodes.begin(), inferred_.live_nodes.end());
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    const Rule rule = live.count(static_cast<int>(i)) > 0 ? RuleOf(node.op_type) : nullptr;
    // A node that is not live may compute shapes from the extents of a value.
    if (rule == nullptr || !(this->*rule)(node)) FixInputs(node);
  }
  for (const ValueInfo& output : graph_.outputs) {
    if (const AxisChannels* channels = ValueOf(output.name)) sets_.Fix(channels->range);
    fixed_weights_.insert(output.name);
  }
  for (const auto& [key, range] : weights_) {
    if (fixed_weights_.count(key.first) > 0) sets_.Fix(range);
  }
}

void Walk::FixInputs(const Node& node) {
  for (const std::string& input : node.inputs) {
    if (const AxisChannels* channels = ValueOf(input)) sets_.Fix(channels->range);
    if (IsWeight(input)) fixed_weights_.insert(input);
  }
}

void Walk::JoinValue(const std::string& name, int axis, const Range& range) {
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
bool Walk::Convolution(const Node& node) {
  const std::string& weight = node.input(1);
  const std::string bias = node.inputs.size() > 2 ? node.input(2) : "";
  if (!IsWeight(weight) || (!bias.empty() && !IsWeight(bias))) return false;
  const auto params = ReadConv(node, ShapeOf(node.input(0)), ShapeOf(weight));
  if (!params.ok() || ShapeOf(weight)[0] == 0 || ShapeOf(weight)[1] == 0) return false;
  const Range out = Make(node, 1);
  sets_.Join(WeightAxis(weight, 0), out);
  if (!bias.empty()) sets_.Join(WeightAxis(bias, 0), out);
  if (params->group == 1) {
    JoinValue(node.input(0), 1, WeightAxis(weight, 1));
    return true;
  }
  const Range in = sets_.New(ShapeOf(node.input(0))[1]);
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

bool Walk::Gemm(const Node& node) {
  const std::string& weight = node.input(1);
  const std::string bias = node.inputs.size() > 2 ? node.input(2) : "";
  const auto params = ReadGemm(node);
  if (!params.ok() || params->trans_a || !IsWeight(weight) || IsWeight(node.input(0))) return false;
  if (!bias.empty() && !IsWeight(bias)) return false;
  const Range out = Make(node, 1);
  sets_.Join(WeightAxis(weight, params->trans_b ? 0 : 1), out);
  JoinValue(node.input(0), 1, WeightAxis(weight, params->trans_b ? 1 : 0));
  if (!bias.empty()) JoinOperand(bias, 1, out);
  return true;
}

bool Walk::MatMul(const Node& node) {
  const std::string& weight = node.input(1);
  const int rank = ShapeOf(node.input(0)).rank();
  if (!IsWeight(weight) || IsWeight(node.input(0)) || rank < 2 || ShapeOf(weight).rank() != 2) {
    return false;
  }
  sets_.Join(WeightAxis(weight, 1), Make(node, rank - 1));
  JoinValue(node.input(0), rank - 1, WeightAxis(weight, 0));
  return true;
}

// Rows of a table [ids, channels].
bool Walk::Gather(const Node& node) {
  const std::string& table = node.input(0);
  if (!IsWeight(table) || IsWeight(node.input(1)) || ShapeOf(table).rank() != 2) return false;
  const auto axis = ReadAxis(node, 2);
  if (!axis.ok() || *axis != 0) return false;
  if (const AxisChannels* ids = ValueOf(node.input(1))) sets_.Fix(ids->range);
  sets_.Join(WeightAxis(table, 1), Make(node, ShapeOf(node.output(0)).rank() - 1));
  return true;
}

bool Walk::BatchNorm(const Node& node) {
  for (size_t i = 1; i < 5; ++i) {
    if (!IsWeight(node.input(i))) return false;
  }
  const Range out = Make(node, 1);
  JoinValue(node.input(0), 1, out);
  for (size_t i = 1; i < 5; ++i) sets_.Join(WeightAxis(node.input(i), 0), out);
  return true;
}

// The channels of the first operand become those of the result, along `axis`.
bool Walk::MoveAxis(const Node& node, int axis) {
  const Range src = ValueOf(node.input(0))->range;
  if (ShapeOf(node.output(0))[axis] != src.extent) return false;
  sets_.Join(src, Make(node, axis));
  return true;
}

// Operands after the first configure the node.
bool Walk::Same(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  return src != nullptr && MoveAxis(node, src->axis);
}

// Over the axes after the channels.
bool Walk::Pool(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  return src != nullptr && src->axis == 1 && MoveAxis(node, 1);
}

// `range` lies along the axis that is `axis_from_end` from the last of the result. What is
// stretched along it has nothing to give up.
void Walk::JoinOperand(const std::string& name, int axis_from_end, const Range& range) {
  const Shape& shape = ShapeOf(name);
  const int axis = shape.rank() - axis_from_end;
  if (axis < 0 || (shape[axis] == 1 && range.extent != 1)) return;
  if (IsWeight(name)) {
    sets_.Join(WeightAxis(name, axis), range);
  } else {
    JoinValue(name, axis, range);
  }
}

bool Walk::ElementWise(const Node& node) {
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
  const Range out = Make(node, rank - from_end);
  for (const std::string& input : node.inputs) JoinOperand(input, from_end, out);
  return true;
}

// [n, c, ...] to [n, c * ...]: as many columns per channel as it has elements.
bool Walk::FlattenFrom(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  if (src == nullptr || src->axis != 1 || src->range.extent == 0) return false;
  const Range from = src->range;
  const Range out = Make(node, 1);
  const int64_t per_channel = out.extent / from.extent;
  for (int64_t i = 0; i < out.extent; ++i) {
    sets_.Join(out.first + i, from.first + i / per_channel);
  }
  return true;
}

bool Walk::Flatten(const Node& node) {
  const auto axis = ReadFlattenAxis(node, ShapeOf(node.input(0)).rank());
  return axis.ok() && *axis == 1 && FlattenFrom(node);
}

// Only what flattens, and takes the number of columns from what it is given.
bool Walk::Reshape(const Node& node) {
  const Tensor* target = ConstantValue(graph_, inferred_, node.input(1));
  if (target == nullptr) return false;
  const auto extents = IntegerValues(*target);
  const Shape& src = ShapeOf(node.input(0));
  const Shape& dst = ShapeOf(node.output(0));
  if (!extents.ok() || extents->size() != 2 || extents->back() != -1) return false;
  return src.rank() >= 2 && src[0] == dst[0] && FlattenFrom(node);
}

bool Walk::Squeeze(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  const Tensor* operand =
      node.inputs.size() > 1 ? ConstantValue(graph_, inferred_, node.input(1)) : nullptr;
  if (src == nullptr || operand == nullptr) return false;
  const auto listed = IntegerValues(*operand);
  if (!listed.ok()) return false;
  const auto axes = NormalizeAxes(*listed, ShapeOf(node.input(0)).rank());
  if (!axes.ok() || std::count(axes->begin(), axes->end(), src->axis) > 0) return false;
  const auto before =
      std::count_if(axes->begin(), axes->end(), [&](int axis) { return axis < src->axis; });
  return MoveAxis(node, src->axis - static_cast<int>(before));
}

bool Walk::Unsqueeze(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  const Tensor* operand = ConstantValue(graph_, inferred_, node.input(1));
  if (src == nullptr || operand == nullptr) return false;
  const auto listed = IntegerValues(*operand);
  if (!listed.ok()) return false;
  const auto axes = NormalizeAxes(*listed, ShapeOf(node.output(0)).rank());
  if (!axes.ok()) return false;
  int axis = src->axis;
  for (const int added : *axes) axis += added <= axis ? 1 : 0;  // Ascending.
  return MoveAxis(node, axis);
}

bool Walk::Transpose(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  const auto permutation = ReadPermutation(node, ShapeOf(node.input(0)).rank());
  if (src == nullptr || !permutation.ok()) return false;
  const auto at = std::find(permutation->begin(), permutation->end(), src->axis);
  return MoveAxis(node, static_cast<int>(at - permutation->begin()));
}

bool Walk::Concat(const Node& node) {
  const auto joined = ReadAxis(node, ShapeOf(node.output(0)).rank());
  const AxisChannels* first = nullptr;
  for (const std::string& input : node.inputs) {
    const AxisChannels* channels = ValueOf(input);
    if (IsWeight(input)) return false;
    if (channels == nullptr) continue;
    if (first != nullptr && channels->axis != first->axis) return false;
    first = channels;
  }
  if (!joined.ok() || first == nullptr) return false;
  const int axis = first->axis;
  const Range out = Make(node, axis);
  int64_t at = 0;
  for (const std::string& input : node.inputs) {
    const Range part{out.first + at, ShapeOf(input)[axis]};
    JoinValue(input, axis, part);
    if (axis == *joined) at += part.extent;
  }
  return true;
}

}  // namespace

ChannelCoupling::ChannelCoupling(const Graph& graph, const InferredGraph& inferred) {
  Walk walk(graph, inferred);
  walk.Run();
  std::unordered_map<int64_t, int> numbers;  // By root.
  const auto number = [&](const Range& range) {
    std::vector<int> groups;
    for (int64_t i = 0; i < range.extent; ++i) {
      const int64_t root = walk.sets().Find(range.first + i);
      if (walk.sets().IsFixed(root)) {
        groups.push_back(kFixed);
      } else {
        groups.push_back(numbers.try_emplace(root, static_cast<int>(numbers.size())).first->second);
      }
    }
    return groups;
  };
  for (const auto& [name, channels] : walk.values()) {
    values_[name] = {channels.axis, number(channels.range)};
  }
  for (const auto& [key, range] : walk.weights()) weights_[key] = number(range);
  group_count_ = static_cast<int>(numbers.size());
}

absl::optional<int> ChannelCoupling::ChannelAxis(const std::string& value) const {
  const auto found = values_.find(value);
  if (found == values_.end()) return absl::nullopt;
  return found->second.axis;
}

absl::Span<const int> ChannelCoupling::ChannelsOf(const std::string& value) const {
  const auto found = values_.find(value);
  if (found == values_.end()) return {};
  return found->second.groups;
}

absl::Span<const int> ChannelCoupling::ChannelsOf(const std::string& initializer, int axis) const {
  const auto found = weights_.find({initializer, axis});
  if (found == weights_.end()) return {};
  return found->second;
}

}  // namespace topiary
