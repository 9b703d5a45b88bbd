// Rules of the operators that move elements or normalize over some.
#include <algorithm>

#include "worker/model/channel_walk.h"
#include "worker/model/op_params.h"
#include "worker/model/reshaped_axis.h"

namespace topiary {
namespace {

// More than any weight has; a Reshape in a file may ask for any number.
constexpr int64_t kMaxChannels = int64_t{1} << 24;

}  // namespace

// Along another axis than that of the channels.
bool ChannelWalk::Softmax(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  const auto axis = ReadAxis(node, ShapeOf(node.input(0)).rank());
  return src != nullptr && axis.ok() && *axis != src->axis && MoveAxis(node, src->axis);
}

// Channels that it normalizes over stay.
bool ChannelWalk::LayerNorm(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  const auto params = ReadLayerNorm(node, ShapeOf(node.input(0)).rank());
  if (src == nullptr || !params.ok() || node.outputs.size() > 1) return false;
  const ChannelRange channels = src->range;
  const bool over_channels = params->axis <= src->axis;
  if (!MoveAxis(node, src->axis)) return false;
  if (over_channels) sets_.Fix(channels);
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    fixed_weights_.insert(operands_.Behind(node.input(i)));
  }
  return true;
}

// Whether all that reads `value`, if need be through a Transpose, picks one index along `axis`.
bool ChannelWalk::PicksElements(const std::string& value, int axis, bool transposed) const {
  const auto users = users_.find(value);
  if (users == users_.end()) return false;
  const int rank = ShapeOf(value).rank();
  if (users->second.size() == 1 && users->second[0] != nullptr && !transposed &&
      users->second[0]->op_type == "Transpose") {
    const Node& user = *users->second[0];
    const auto permutation = ReadPermutation(user, rank);
    if (!permutation.ok()) return false;
    const auto at = std::find(permutation->begin(), permutation->end(), axis);
    return PicksElements(user.output(0), static_cast<int>(at - permutation->begin()), true);
  }
  return std::all_of(users->second.begin(), users->second.end(), [&](const Node* user) {
    if (user == nullptr || user->input(0) != value) return false;
    return user->op_type == "Gather" && ReadAxis(*user, rank).value_or(-1) == axis &&
           ConstantValue(graph_, inferred_, user->input(1)) != nullptr;
  });
}

// One channel becomes many, or many become one, as all that belongs to a head does.
bool ChannelWalk::Reshape(const Node& node) {
  const AxisChannels* src = ValueOf(node.input(0));
  if (src == nullptr) return false;
  const Shape& from = ShapeOf(node.input(0));
  const Shape& to = ShapeOf(node.output(0));
  auto place = FindReshapedAxis(from, src->axis, to, 0);
  if (!place.has_value()) return false;
  // [3 * heads * depth] to [3, heads, depth], of which queries, keys and values are then picked.
  if (place->src_per_dst > 1 && PicksElements(node.output(0), place->axis, false)) {
    place = FindReshapedAxis(from, src->axis, to, 1);
    if (!place.has_value()) return false;
  }
  if (to[place->axis] > kMaxChannels) return false;
  const ChannelRange in = src->range;
  const int src_axis = src->axis;
  const ChannelRange out = Make(node, place->axis);
  for (int64_t copy = 1; copy < place->copies; ++copy) {
    sets_.Join({out.first, in.extent}, {out.first + copy * in.extent, in.extent});
  }
  for (int64_t i = 0; i < in.extent; ++i) {
    for (int64_t k = 0; k < place->dst_per_src; ++k) {
      const int64_t at = (i * place->dst_per_src + k) / place->src_per_dst % out.extent;
      sets_.Join(in.first + i, out.first + at);
    }
  }
  reshapes_.push_back({static_cast<int>(&node - graph_.nodes.data()), src_axis, place->axis});
  return true;
}

bool ChannelWalk::Squeeze(const Node& node) {
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

bool ChannelWalk::Unsqueeze(const Node& node) {
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

bool ChannelWalk::Transpose(const Node& node) {
  if (operands_.IsTransposition(node.output(0))) return true;
  const AxisChannels* src = ValueOf(node.input(0));
  const auto permutation = ReadPermutation(node, ShapeOf(node.input(0)).rank());
  if (src == nullptr || !permutation.ok()) return false;
  const auto at = std::find(permutation->begin(), permutation->end(), src->axis);
  return MoveAxis(node, static_cast<int>(at - permutation->begin()));
}

bool ChannelWalk::Concat(const Node& node) {
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
  const ChannelRange out = Make(node, axis);
  int64_t at = 0;
  for (const std::string& input : node.inputs) {
    const ChannelRange part{out.first + at, ShapeOf(input)[axis]};
    JoinValue(input, axis, part);
    if (axis == *joined) at += part.extent;
  }
  return true;
}

// Rows of a table [ids, channels], or places of a value.
bool ChannelWalk::Gather(const Node& node) {
  const std::string& table = node.input(0);
  const int rank = ShapeOf(table).rank();
  const auto axis = ReadAxis(node, rank);
  if (!axis.ok()) return false;
  const AxisChannels* src = ValueOf(table);
  if (src != nullptr) {
    if (*axis == src->axis) return false;
    const int places = ShapeOf(node.input(1)).rank();
    if (!MoveAxis(node, src->axis < *axis ? src->axis : src->axis - 1 + places)) return false;
  } else {
    if (!IsWeight(table) || !operands_.Behind(node.input(1)).empty()) return false;
    if (rank != 2 || *axis != 0) return false;
    sets_.Join(WeightAxis(table, 1), Make(node, ShapeOf(node.output(0)).rank() - 1));
    FixOtherAxes(table, 1);
  }
  if (const AxisChannels* ids = ValueOf(node.input(1))) sets_.Fix(ids->range);
  fixed_weights_.insert(operands_.Behind(node.input(1)));
  return true;
}

}  // namespace topiary
