// Sets of channels that go together (union-find).
#ifndef TOPIARY_WORKER_MODEL_CHANNEL_SETS_H_
#define TOPIARY_WORKER_MODEL_CHANNEL_SETS_H_

#include <cstdint>
#include <vector>

namespace topiary {

// Consecutive channels.
struct ChannelRange {
  int64_t first = 0;
  int64_t extent = 0;
};

// Thread-compatible.
class ChannelSets {
 public:
  ChannelRange New(int64_t extent) {
    const ChannelRange range{static_cast<int64_t>(parents_.size()), extent};
    for (int64_t i = 0; i < extent; ++i) parents_.push_back(range.first + i);
    fixed_.resize(parents_.size(), false);
    return range;
  }

  // The set of a channel: the channel that stands for it.
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

  // Each channel of `a` with the one in its place in `b`, which is as long.
  void Join(const ChannelRange& a, const ChannelRange& b) {
    for (int64_t i = 0; i < a.extent; ++i) Join(a.first + i, b.first + i);
  }

  // Sets with a channel of `range` stay.
  void Fix(const ChannelRange& range) {
    for (int64_t i = 0; i < range.extent; ++i) fixed_[Find(range.first + i)] = true;
  }

  bool IsFixed(int64_t channel) { return fixed_[Find(channel)]; }

 private:
  std::vector<int64_t> parents_;
  std::vector<bool> fixed_;  // By the set's root.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_CHANNEL_SETS_H_
