// Groups of candidates for methods that prune by calibration: the matrices whose inputs are
// measured.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_

#include <string>
#include <vector>

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

// The blocks of a group that a method of kFull can prune: of heads those of the output projection,
// of hidden units those of the layer after them.
struct ReaderBlocks {
  const PrunableLayer* layer = nullptr;
  BlockShape block;
};
ReaderBlocks ReaderBlocksOf(const CandidateGroup& group, absl::Span<const PrunableLayer> layers);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
