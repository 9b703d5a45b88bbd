// Groups of candidates for methods that prune by calibration: the matrices whose inputs are
// measured.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/input_moments.h"
#include "worker/model/layers.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/candidate_group.h"

namespace topiary {

// A matrix of which candidates have elements that their scales multiply. Borrows both.
struct GroupMatrix {
  const CandidatePart* part = nullptr;
  const PrunableLayer* layer = nullptr;
};

// Those of `group`, in the order of its parts; biases and normalization are none. `layers` are
// those of the graph.
std::vector<GroupMatrix> MatricesOf(const CandidateGroup& group,
                                    absl::Span<const PrunableLayer> layers);

// Why a method of such moments cannot prune `group`; empty: it can. With kDiagonal, a candidate has
// no element in a matrix. With kFull, whose candidates must be blocks of one matrix, no matrix
// reads all candidates and nothing else, in their order and as many inputs in a row of each.
std::string ReasonNotToCalibrate(MomentKind kind, const CandidateGroup& group,
                                 absl::Span<const PrunableLayer> layers);

// The candidates of a group that a method of kFull can prune as blocks of the matrix that reads
// them: of heads the output projection, of hidden units the layer after them. About as many runs as
// the group has of it. Errors as BlockPartition::Create().
absl::StatusOr<std::shared_ptr<const BlockPartition>> ReaderBlocks(
    const CandidateGroup& group, absl::Span<const PrunableLayer> layers);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
