#include "worker/export/shrink.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/export/constant_channels.h"
#include "worker/export/constant_summands.h"
#include "worker/export/reshape_targets.h"
#include "worker/export/tensor_slices.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/inference_form.h"
#include "worker/model/op_params.h"
#include "worker/model/shape_inference.h"
#include "worker/model/unused.h"
#include "worker/model/weight_operands.h"

namespace topiary {
namespace {

// A layer that reads channels by a weight of its own.
struct Reader {
  int node = 0;
  std::string weight;
  int in_axis = 0;
  int out_axis = 0;
  // What is added to the layer's result: the place of a bias as an operand of a node, -1 if there
  // is no place for one. `scale` is what the layer multiplies the bias by, over what it multiplies
  // the product by.
  int bias_node = -1;
  size_t bias_operand = 2;
  double scale = 1;
};

// A constant that one channel brings to a reader.
struct Contribution {
  const Reader* reader;
  int64_t channel;
  float constant;
};

// One round over a graph in inference form: finds what can go, and takes it away.
class Round {
 public:
  // `other` is the inference for another batch, null where the graph allows only one.
  Round(Graph* graph, const InferredGraph& inferred, const InferredGraph* other)
      : graph_(*graph),
        inferred_(inferred),
        other_(other),
        operands_(*graph, inferred),
        coupling_(*graph, inferred) {
    for (const Node& node : graph_.nodes) {
      for (const std::string& input : node.inputs) ++uses_[input];
    }
    for (const ValueInfo& output : graph_.outputs) ++uses_[output.name];
  }

  // Whether anything changed. Constants that must move to biases are moved in a round of their own,
  // after which nothing reads their channels.
  bool Run() {
    FindReaders();
    Decide();
    KeepWhatReshapesNeed();
    do {
      FindDropped();
    } while (KeepOneOfEach());
    if (MoveConstants()) return true;
    return TakeAway();
  }

 private:
  const Tensor& WeightOf(const std::string& name) const {
    return graph_.FindInitializer(name)->value;
  }
  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }

  void FindReaders();
  void FindBias(Reader* reader) const;
  bool CanHoldBias(const std::string& name, int64_t outputs) const;
  void Decide();
  void KeepWhatReshapesNeed();
  void FindDropped();
  bool KeepOneOfEach();
  bool MakesDroppedOnly(const std::string& weight) const;
  bool MoveConstants();
  void AddToBias(const Reader& reader, const std::vector<double>& sums);
  bool TakeAway();
  std::set<std::string> LeaveOutDropped();
  bool Goes(int group) const { return group != ChannelCoupling::kFixed && goes_[group]; }
  bool AllGo(absl::Span<const int> groups) const {
    return std::all_of(groups.begin(), groups.end(), [&](int group) { return Goes(group); });
  }
  void NarrowGroups(Node* node) const;
  absl::optional<std::vector<int64_t>> TargetOf(const ReshapedChannels& reshape) const;
  void NarrowReshapes();
  std::string FreshName(std::string name) const;

  Graph& graph_;
  const InferredGraph& inferred_;
  const InferredGraph* const other_;
  const WeightOperands operands_;
  const ChannelCoupling coupling_;
  std::map<std::string, int> uses_;
  std::vector<Reader> readers_;
  std::vector<bool> goes_;  // By group.
  std::vector<Contribution> contributions_;
  std::set<std::string> unread_;   // Biases that others took the place of.
  std::set<std::string> dropped_;  // Values that Concat is to do without.
};

void Round::FindReaders() {
  for (const int index : inferred_.live_nodes) {
    const absl::optional<WeightOperand> operand = operands_.Of(graph_.nodes[index]);
    if (!operand.has_value()) continue;
    Reader reader;
    reader.node = index;
    reader.weight = operand->weight;
    reader.in_axis = operand->in_axis;
    reader.out_axis = operand->out_axis;
    // Grouped convolutions have no channels there.
    if (coupling_.ChannelsOf(reader.weight, reader.in_axis).empty()) continue;
    FindBias(&reader);
    readers_.push_back(reader);
  }
}

// Whether `name`, which may be left out, is one number for each output, or one for all.
bool Round::CanHoldBias(const std::string& name, int64_t outputs) const {
  if (name.empty()) return true;
  const Initializer* bias = graph_.FindInitializer(name);
  if (bias == nullptr || bias->value.dtype() != DType::kFloat32) return false;
  const Shape& shape = bias->value.shape();
  const int64_t count = bias->value.element_count();
  return count == 1 || (count == outputs && shape[shape.rank() - 1] == outputs);
}

void Round::FindBias(Reader* reader) const {
  const Node& node = graph_.nodes[reader->node];
  const int64_t outputs = WeightOf(reader->weight).shape()[reader->out_axis];
  if (node.op_type == "MatMul") {
    // The bias of a linear layer on stacked rows is a node of its own.
    if (uses_.at(node.output(0)) != 1) return;
    for (const int index : inferred_.live_nodes) {
      const Node& add = graph_.nodes[index];
      if (add.op_type != "Add") continue;
      for (const size_t operand : {0, 1}) {
        if (add.input(1 - operand) != node.output(0) || add.input(operand).empty()) continue;
        const Initializer* bias = graph_.FindInitializer(add.input(operand));
        if (bias == nullptr || bias->value.shape() != Shape({outputs})) continue;
        reader->bias_node = index;
        reader->bias_operand = operand;
      }
    }
    return;
  }
  if (node.op_type == "Conv") {
    const ConvParams params =
        ReadConv(node, ShapeOf(node.input(0)), ShapeOf(reader->weight)).value();
    for (const auto* pads : {&params.window.pads_begin, &params.window.pads_end}) {
      if (std::any_of(pads->begin(), pads->end(), [](int64_t pad) { return pad != 0; })) return;
    }
  } else {
    const GemmParams params = ReadGemm(node).value();
    if (params.beta == 0) return;
    reader->scale = double{params.alpha} / params.beta;
  }
  const std::string bias = node.inputs.size() > 2 ? node.input(2) : "";
  if (CanHoldBias(bias, outputs)) reader->bias_node = reader->node;
}

// A group goes unless a reader needs one of its channels.
void Round::Decide() {
  goes_.assign(coupling_.group_count(), true);
  const ConstantChannels constants = FindConstantChannels(graph_, inferred_, coupling_);
  for (const Reader& reader : readers_) {
    const absl::Span<const int> groups = coupling_.ChannelsOf(reader.weight, reader.in_axis);
    const auto known = constants.find(graph_.nodes[reader.node].input(0));
    for (size_t i = 0; i < groups.size(); ++i) {
      const auto channel = static_cast<int64_t>(i);
      if (!Goes(groups[i])) continue;
      if (IsZeroSlice(WeightOf(reader.weight), reader.in_axis, channel)) continue;
      const bool constant = known != constants.end() && known->second[i].has_value();
      const float value = constant ? *known->second[i] : 0;
      if (!constant || (value != 0 && reader.bias_node < 0)) {
        goes_[groups[i]] = false;
      } else {
        contributions_.push_back({&reader, channel, value});
      }
    }
  }
}

// The operand of a Reshape as it must be; empty for a Flatten. nullopt: there is none.
absl::optional<std::vector<int64_t>> Round::TargetOf(const ReshapedChannels& reshape) const {
  const std::string& result = graph_.nodes[reshape.node].output(0);
  const absl::Span<const int> groups = coupling_.ChannelsOf(result);
  const auto left = std::count_if(groups.begin(), groups.end(), [&](int g) { return !Goes(g); });
  return NarrowedTarget(graph_, inferred_, other_, reshape, left);
}

void Round::KeepWhatReshapesNeed() {
  for (const ReshapedChannels& reshape : coupling_.reshapes()) {
    const absl::Span<const int> groups = coupling_.ChannelsOf(graph_.nodes[reshape.node].output(0));
    const bool narrows = std::any_of(groups.begin(), groups.end(), [&](int g) { return Goes(g); });
    if (!narrows || TargetOf(reshape).has_value()) continue;
    for (const int group : groups) {
      if (group != ChannelCoupling::kFixed) goes_[group] = false;
    }
  }
}

// Values of which nothing is left and that only Concat reads, beside others of which something is:
// from the last node to the first.
void Round::FindDropped() {
  dropped_.clear();
  const std::set<int> live(inferred_.live_nodes.begin(), inferred_.live_nodes.end());
  const auto may_miss = [&](const Node& user) {
    if (dropped_.count(user.output(0)) > 0) return true;
    const absl::Span<const int> groups = coupling_.ChannelsOf(user.output(0));
    if (user.op_type != "Concat" || groups.empty()) return false;
    const int axis = ReadAxis(user, ShapeOf(user.output(0)).rank()).value();
    return axis == *coupling_.ChannelAxis(user.output(0)) && !AllGo(groups);
  };
  for (auto index = inferred_.live_nodes.rbegin(); index != inferred_.live_nodes.rend(); ++index) {
    const std::string& value = graph_.nodes[*index].output(0);
    const absl::Span<const int> groups = coupling_.ChannelsOf(value);
    if (groups.empty() || !AllGo(groups)) continue;
    bool dropped = true;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& user = graph_.nodes[i];
      if (std::count(user.inputs.begin(), user.inputs.end(), value) == 0) continue;
      dropped = dropped && live.count(static_cast<int>(i)) > 0 && may_miss(user);
    }
    if (dropped) dropped_.insert(value);
  }
}

// Whether all that reads `weight` is left out with it.
bool Round::MakesDroppedOnly(const std::string& weight) const {
  return std::all_of(graph_.nodes.begin(), graph_.nodes.end(), [&](const Node& node) {
    const bool reads =
        std::any_of(node.inputs.begin(), node.inputs.end(),
                    [&](const std::string& input) { return operands_.Behind(input) == weight; });
    return !reads || operands_.IsTransposition(node.output(0)) ||
           dropped_.count(node.output(0)) > 0;
  });
}

// Returns whether more stays than before.
bool Round::KeepOneOfEach() {
  bool changed = false;
  for (const auto& [key, groups] : coupling_.weights()) {
    if (groups.empty() || !AllGo(groups) || MakesDroppedOnly(key.first)) continue;
    goes_[groups.front()] = false;
    changed = true;
  }
  return changed;
}

// Takes the operands of Concat of which nothing is left out of it. Returns their names.
std::set<std::string> Round::LeaveOutDropped() {
  std::set<std::string> left;
  for (const int index : inferred_.live_nodes) {
    Node& node = graph_.nodes[index];
    if (node.op_type != "Concat" || dropped_.count(node.output(0)) > 0) continue;
    std::vector<std::string> kept;
    for (const std::string& input : node.inputs) {
      if (dropped_.count(input) > 0) {
        left.insert(input);
      } else {
        kept.push_back(input);
      }
    }
    node.inputs = std::move(kept);
  }
  return left;
}

// The weights of a constant channel become 0, and what they made of it becomes part of the bias.
bool Round::MoveConstants() {
  std::map<const Reader*, std::vector<double>> sums;
  std::map<std::string, std::set<std::pair<int, int64_t>>> cleared;  // By weight: axis, index.
  for (const Contribution& from : contributions_) {
    const Reader& reader = *from.reader;
    if (!Goes(coupling_.ChannelsOf(reader.weight, reader.in_axis)[from.channel])) continue;
    cleared[reader.weight].emplace(reader.in_axis, from.channel);
    if (from.constant == 0) continue;
    const Tensor& weight = WeightOf(reader.weight);
    const Shape::Dims strides = weight.shape().Strides();
    const int64_t outputs = weight.shape()[reader.out_axis];
    std::vector<double>& sum = sums[&reader];
    sum.resize(static_cast<size_t>(outputs));
    // Everything after the two axes is the convolution's window.
    const int64_t window = weight.element_count() / outputs / weight.shape()[reader.in_axis];
    for (int64_t o = 0; o < outputs; ++o) {
      const float* at = weight.data<float>() + o * strides[reader.out_axis] +
                        from.channel * strides[reader.in_axis];
      for (int64_t i = 0; i < window; ++i) sum[o] += double{from.constant} * at[i];
    }
  }
  for (const auto& [reader, sum] : sums) AddToBias(*reader, sum);
  for (const auto& [name, slices] : cleared) {
    Tensor& weight = graph_.FindInitializer(name)->value;
    for (const auto& [axis, index] : slices) ClearSlice(axis, index, &weight);
  }
  const auto is_unread = [this](const Initializer& i) { return unread_.count(i.name) > 0; };
  graph_.initializers.RemoveIf(is_unread);
  return !cleared.empty();
}

std::string Round::FreshName(std::string name) const {
  while (uses_.count(name) > 0 || inferred_.values.count(name) > 0) name += '_';
  return name;
}

void Round::AddToBias(const Reader& reader, const std::vector<double>& sums) {
  Node& node = graph_.nodes[reader.bias_node];
  const auto outputs = static_cast<int64_t>(sums.size());
  if (node.inputs.size() <= reader.bias_operand) node.inputs.resize(reader.bias_operand + 1);
  std::string& name = node.inputs[reader.bias_operand];
  const Tensor* old = name.empty() ? nullptr : &WeightOf(name);
  const bool in_place = old != nullptr && uses_[name] == 1 && old->element_count() == outputs;
  Tensor bias(DType::kFloat32, in_place ? old->shape() : Shape({outputs}));
  for (int64_t o = 0; o < outputs; ++o) {
    const float before = old == nullptr ? 0 : old->data<float>()[old->element_count() == 1 ? 0 : o];
    bias.data<float>()[o] = static_cast<float>(before + reader.scale * sums[o]);
  }
  if (in_place) {
    graph_.FindInitializer(name)->value = std::move(bias);
    return;
  }
  // There was none, another node reads it too, or it was one number for all outputs.
  const std::string fresh = FreshName(absl::StrCat(node.output(0), ".bias"));
  const std::string left = std::exchange(name, fresh);
  ++uses_[fresh];
  graph_.initializers.push_back({fresh, std::move(bias), ""});
  if (left.empty() || --uses_[left] > 0) return;
  unread_.insert(left);
}

bool Round::TakeAway() {
  if (std::count(goes_.begin(), goes_.end(), true) == 0) return false;
  for (const int index : inferred_.live_nodes) {
    if (graph_.nodes[index].op_type == "Conv") NarrowGroups(&graph_.nodes[index]);
  }
  std::set<std::string> changed;
  for (const auto& [key, channels] : coupling_.weights()) {
    const auto& groups = channels;  // C++17 captures no structured binding.
    if (std::none_of(groups.begin(), groups.end(), [&](int g) { return Goes(g); })) continue;
    Tensor& weight = graph_.FindInitializer(key.first)->value;
    std::vector<int64_t> kept;
    for (size_t i = 0; i < groups.size(); ++i) {
      if (!Goes(groups[i])) kept.push_back(static_cast<int64_t>(i));
    }
    weight = TakeSlices(weight, key.second, kept);
    changed.insert(key.first);
  }
  const auto narrower = [&](const ValueInfo& value) {
    if (changed.count(operands_.Behind(value.name)) > 0) return true;
    const absl::Span<const int> groups = coupling_.ChannelsOf(value.name);
    return std::any_of(groups.begin(), groups.end(), [&](int g) { return Goes(g); });
  };
  auto& infos = graph_.value_infos;
  infos.erase(std::remove_if(infos.begin(), infos.end(), narrower), infos.end());
  const std::set<std::string> left = LeaveOutDropped();
  NarrowReshapes();
  RemoveUnused(left, &graph_);
  return !changed.empty();
}

// The operand of the last Reshape that reads it is changed where it lies, if it is an initializer
// that all of them need changed alike; others get one of their own.
void Round::NarrowReshapes() {
  std::map<std::pair<std::string, std::vector<int64_t>>, std::vector<int>> wanted;
  for (const ReshapedChannels& reshape : coupling_.reshapes()) {
    const Node& node = graph_.nodes[reshape.node];
    const absl::Span<const int> groups = coupling_.ChannelsOf(node.output(0));
    if (std::none_of(groups.begin(), groups.end(), [&](int g) { return Goes(g); })) continue;
    const auto target = TargetOf(reshape);
    if (node.op_type != "Reshape" || !target.has_value()) continue;
    const Tensor* old = ConstantValue(graph_, inferred_, node.input(1));
    if (IntegerValues(*old).value() == *target) continue;
    wanted[{node.input(1), *target}].push_back(reshape.node);
  }
  std::set<std::string> left;
  for (const auto& [key, nodes] : wanted) {
    const auto& [name, target] = key;
    Tensor value =
        Tensor::FromVector<int64_t>(Shape({static_cast<int64_t>(target.size())}), target);
    Initializer* old = graph_.FindInitializer(name);
    if (old != nullptr && uses_.at(name) == static_cast<int>(nodes.size())) {
      old->value = std::move(value);
      continue;
    }
    const std::string fresh =
        FreshName(absl::StrCat(graph_.nodes[nodes.front()].output(0), ".shape"));
    uses_[fresh] = static_cast<int>(nodes.size());
    graph_.initializers.push_back({fresh, std::move(value), ""});
    left.insert(name);
    for (const int index : nodes) {
      Node& node = graph_.nodes[index];
      node.inputs[1] = fresh;
      auto& attributes = node.attributes;
      const auto is_allowzero = [](const Attribute& a) { return a.name == "allowzero"; };
      // A 0 that is written here copies an extent.
      if (std::count(target.begin(), target.end(), 0) == 0) continue;
      attributes.erase(std::remove_if(attributes.begin(), attributes.end(), is_allowzero),
                       attributes.end());
    }
  }
  RemoveUnused(left, &graph_);
}

// A grouped convolution loses whole groups.
void Round::NarrowGroups(Node* node) const {
  for (Attribute& attribute : node->attributes) {
    if (attribute.name != "group" || !std::holds_alternative<int64_t>(attribute.value)) continue;
    auto& count = std::get<int64_t>(attribute.value);
    if (count <= 1) return;
    const absl::Span<const int> outputs = coupling_.ChannelsOf(node->input(1), 0);
    if (outputs.empty()) return;  // Weights or bias are computed: all channels stay.
    const auto each = static_cast<int64_t>(outputs.size()) / count;
    const auto gone = std::count_if(outputs.begin(), outputs.end(), [&](int g) { return Goes(g); });
    count -= gone / each;
  }
}

// `shapes` with one example more where the graph leaves that open.
std::map<std::string, Shape> ForAnotherBatch(const Graph& graph,
                                             std::map<std::string, Shape> shapes) {
  for (const ValueInfo& input : graph.inputs) {
    const auto shape = shapes.find(input.name);
    if (input.dims.empty() || input.dims[0].fixed() || shape == shapes.end()) continue;
    shape->second = shape->second.WithDim(0, shape->second[0] + 1);
  }
  return shapes;
}

}  // namespace

absl::StatusOr<ShrunkModel> Shrink(const Graph& graph,
                                   const std::map<std::string, Shape>& input_shapes,
                                   const std::function<absl::Status()>& check) {
  ShrunkModel model;
  ASSIGN_OR_RETURN(model.graph, InferenceForm(graph));
  std::map<std::string, Shape> before;
  std::set<std::string> floats;
  for (const Initializer& initializer : model.graph.initializers) {
    before[initializer.name] = initializer.value.shape();
    if (initializer.value.dtype() == DType::kFloat32) floats.insert(initializer.name);
  }
  const std::map<std::string, Shape> other_shapes = ForAnotherBatch(graph, input_shapes);
  for (bool changed = true; changed;) {
    if (check) RETURN_IF_ERROR(check());
    ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(model.graph, input_shapes));
    // Some graphs say in shapes what their batch is.
    const absl::StatusOr<InferredGraph> other = InferShapes(model.graph, other_shapes);
    const InferredGraph* const at_other = other.ok() ? &*other : nullptr;
    changed = TakeConstantSummandsOut(inferred, at_other, &model.graph) ||
              Round(&model.graph, inferred, at_other).Run();
  }
  for (const Initializer& initializer : model.graph.initializers) {
    const auto old = before.find(initializer.name);
    if (old == before.end() || old->second == initializer.value.shape()) continue;
    model.tensors.push_back({initializer.name, old->second, initializer.value.shape()});
  }
  for (const auto& [name, shape] : before) {
    if (model.graph.FindInitializer(name) == nullptr && floats.count(name) > 0) {
      model.tensors.push_back({name, shape, Shape({0})});
    }
  }
  return model;
}

}  // namespace topiary
