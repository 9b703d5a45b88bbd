// Channels whose elements are the same number whatever the network is given, as what a pruned row
// of weights makes: its bias, and what the following nodes make of that.
#ifndef TOPIARY_WORKER_EXPORT_CONSTANT_CHANNELS_H_
#define TOPIARY_WORKER_EXPORT_CONSTANT_CHANNELS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// By value, for values with channels: the constant of each channel, nullopt where it varies or
// where nothing is known. Of an inference graph: statistics of BatchNormalization are what they
// are, Dropout does nothing. Weights are taken to be finite.
using ConstantChannels = std::map<std::string, std::vector<absl::optional<float>>>;

ConstantChannels FindConstantChannels(const Graph& graph, const InferredGraph& inferred,
                                      const ChannelCoupling& coupling);

// Whether all elements at `index` along `axis` of a float32 tensor are zero.
bool IsZeroSlice(const Tensor& tensor, int axis, int64_t index);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_CONSTANT_CHANNELS_H_
