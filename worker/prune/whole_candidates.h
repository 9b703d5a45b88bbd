// Residual branches, transformer layers and embedding tables as candidates for pruning.
#ifndef TOPIARY_WORKER_PRUNE_WHOLE_CANDIDATES_H_
#define TOPIARY_WORKER_PRUNE_WHOLE_CANDIDATES_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/channel_candidates.h"
#include "worker/prune/structure.h"

namespace topiary {

// One candidate, the only one of its parts: their blocks are 0.
struct WholeCandidate {
  std::string name;
  std::vector<WeightAxis> makers;  // Weights of it, by which patterns name it.
  std::vector<CandidatePart> scaled;
  std::vector<CandidatePart> coupled;
  std::string reason;  // Why it must stay; empty: it need not.
};

// Candidates of which a model has a few, in the order of the nodes, to be one group.
//
// Branches (worker/model/residual_branches.h): scaled are the weights, biases and scales that a
// branch ends with, coupled all its matrices. A transformer layer is the branches from one that
// attends to the last before the next that does so after one that does not: attention and the
// feed-forward branch after it, together. A table is all columns of it, and of tables whose rows it
// is added to, as FindChannelCandidates() has them; it must stay where some of them must.
// Errors as FindChannelCandidates().
absl::StatusOr<std::vector<WholeCandidate>> FindWholeCandidates(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    Structure structure, std::optional<int64_t> memory_bytes,
    const std::function<absl::Status()>& check);

// `candidates` as one group of that name, numbered in their order.
CandidateGroup GroupOf(const std::string& name, const std::vector<WholeCandidate>& candidates);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_WHOLE_CANDIDATES_H_
