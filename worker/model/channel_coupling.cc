#include "worker/model/channel_coupling.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <unordered_map>

#include "worker/model/channel_walk.h"

namespace topiary {
namespace {

// Where it is in the sets, and its number, in vectors that grow.
constexpr double kBytesPerChannel = 24;

double LongestAxis(const Shape& shape) {
  int64_t longest = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) longest = std::max(longest, shape[axis]);
  return static_cast<double>(longest);
}

}  // namespace

double BytesOfChannelCoupling(const Graph& graph, const InferredGraph& inferred) {
  std::set<std::string> looked_up;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    if (node.op_type == "Gather") looked_up.insert(node.input(0));
  }
  double channels = 0;
  for (const auto& [name, type] : inferred.values) {
    const Shape& shape = type.shape;
    // The rows of a table are no channels.
    const bool is_table = looked_up.count(name) > 0 && shape.rank() == 2;
    channels += is_table ? static_cast<double>(shape[1]) : LongestAxis(shape);
  }
  return channels * kBytesPerChannel;
}

ChannelCoupling::ChannelCoupling(const Graph& graph, const InferredGraph& inferred) {
  ChannelWalk walk(graph, inferred);
  walk.Run();
  std::unordered_map<int64_t, int> numbers;  // By root.
  const auto number = [&](const ChannelRange& range) {
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
  reshapes_ = walk.reshapes();
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
