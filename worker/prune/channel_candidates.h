// Channels, neurons, heads and dimensions of embeddings as candidates for pruning.
#ifndef TOPIARY_WORKER_PRUNE_CHANNEL_CANDIDATES_H_
#define TOPIARY_WORKER_PRUNE_CHANNEL_CANDIDATES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/structure.h"

namespace topiary {

// A weight, an axis of it, and the node that uses it so.
struct WeightAxis {
  std::string weight;
  std::string node_name;  // Of the first such node; may be empty.
  int axis = 0;
};

// Candidates that are found in a graph, before anybody has asked for them.
struct FoundGroup {
  std::string name;  // Of the group; of the first maker where there is none.
  std::shared_ptr<const CandidateGroup> group;  // Null where there is a `reason`.
  std::vector<WeightAxis> makers;               // Whose channels they are.
  std::string reason;                           // Why none of them can be pruned.
};

// A candidate is a set of channels that can only go together (worker/model/channel_coupling.h).
// What it is follows from who makes it: a head where products of two values are taken channel by
// channel, else a channel where a convolution makes it, a dimension where a table does, else a
// neuron. Candidates that share an axis of a weight that makes them are one group, as all channels
// of a stage of a residual network are. Its scaled parts are the slices of the weights of Gemm,
// MatMul and Conv that read the channels, its coupled parts those of the weights, and tables, that
// make them; biases and normalization do not count.
//
// A channel is no candidate where it must stay (ChannelCoupling::kFixed), where no weight reads it,
// where a weight that reads it is not in `trainable`, has no elements, or is read along its other
// axis too.
//
// Rows of tables are candidates of a group for each table: scaled is the row itself, which nothing
// but Gather may read, and nothing is coupled.
//
// Groups are in the order of the nodes that make them; each weight that makes channels of this kind
// is named by one. `inferred` is InferShapes() of `graph`. RESOURCE_EXHAUSTED, with figures and a
// remedy, before the memory is taken, where finding them needs more than `memory_bytes` beside the
// graph (none: no limit). Errors of `check`, which is asked before each group.
absl::StatusOr<std::vector<FoundGroup>> FindChannelCandidates(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    Structure structure, std::optional<int64_t> memory_bytes,
    const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CHANNEL_CANDIDATES_H_
