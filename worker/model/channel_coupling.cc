#include "worker/model/channel_coupling.h"

#include <cstdint>
#include <unordered_map>

#include "worker/model/channel_walk.h"

namespace topiary {

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
