// Which channels of a network can only be taken away together, because the network adds, joins or
// groups them: found once for the whole graph, for everything that makes networks narrower.
#ifndef TOPIARY_WORKER_MODEL_CHANNEL_COUPLING_H_
#define TOPIARY_WORKER_MODEL_CHANNEL_COUPLING_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "absl/types/span.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// A Reshape or Flatten of values with channels.
struct ReshapedChannels {
  int node = 0;
  int src_axis = 0;
  int dst_axis = 0;
};

// A value has channels along one axis: axis 1 of images, the last axis of what a linear layer or an
// embedding makes. A weight has them along every axis that makes or reads channels of a value: a
// convolution's along axis 0 (out) and axis 1 (in). All channels that must go together, through
// residual sums, Concat, Flatten, BatchNormalization, or as one group of a grouped convolution,
// have the same number. Taking every index of one number away, from all values and weights, leaves
// a graph whose shapes fit; nothing is said of what it computes.
//
// A Reshape may split channels, as those of a projection into heads: what belongs to one channel of
// the result goes together then. Its operand may have to say other extents afterwards: reshapes().
// Products of two values with channels along one axis before those of the matrices, as attention's
// with one matrix per head, are taken channel by channel.
//
// Channels that must stay are kFixed: those of the graph's inputs and outputs, of what normalizes
// over them (Softmax, LayerNormalization), of what multiplies rows or columns of two values, and of
// every operator and use of a weight that is not understood here.
//
// What is understood of a Reshape or Flatten depends on the batch only where the graph writes a
// batch into shapes: compare FindReshapedAxis() for another batch before relying on it.
//
// Thread-compatible.
class ChannelCoupling {
 public:
  static constexpr int kFixed = -1;

  // `inferred` is InferShapes() of `graph`.
  ChannelCoupling(const Graph& graph, const InferredGraph& inferred);

  // Numbers are 0 to group_count() - 1.
  int group_count() const { return group_count_; }

  // The channel axis of a value; nullopt where all its axes are fixed.
  absl::optional<int> ChannelAxis(const std::string& value) const;

  // The number of each channel of a value; empty where it has none.
  absl::Span<const int> ChannelsOf(const std::string& value) const;

  // The numbers along one axis of an initializer; empty where that axis has no channels.
  absl::Span<const int> ChannelsOf(const std::string& initializer, int axis) const;

  // In the order of the nodes.
  const std::vector<ReshapedChannels>& reshapes() const { return reshapes_; }

  // All axes of initializers that have channels.
  const std::map<std::pair<std::string, int>, std::vector<int>>& weights() const {
    return weights_;
  }

 private:
  struct ValueChannels {
    int axis;
    std::vector<int> groups;
  };
  std::map<std::string, ValueChannels> values_;
  std::map<std::pair<std::string, int>, std::vector<int>> weights_;
  std::vector<ReshapedChannels> reshapes_;
  int group_count_ = 0;
};

// About how many bytes the constructor takes at most: a small file can ask for very much. In
// double, since beside an extent of 0 there may be one of any size.
double BytesOfChannelCoupling(const Graph& graph, const InferredGraph& inferred);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_CHANNEL_COUPLING_H_
