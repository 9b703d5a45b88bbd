// Groups of candidates for methods that prune by calibration: the matrices whose inputs are
// measured.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/engine/input_moments.h"
#include "worker/model/layers.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/group_choice.h"
#include "worker/prune/structure.h"

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

// Leaves whole, with the reason in GroupChoice::dense_reason, each group that a method of such
// moments cannot prune. With kDiagonal, one of which a candidate has no element in a matrix. With
// kFull, whose candidates must be blocks of one matrix, one of which no matrix reads all
// candidates, in their order and as many inputs in a row of each; GroupChoice::reader of the others
// is set: of heads the output projection, of hidden units the layer after them. INVALID_ARGUMENT,
// with the reasons, where no group is left. RESOURCE_EXHAUSTED, before the memory is taken, where
// the blocks need more than `memory_bytes` (none: no limit).
absl::Status LeaveWhatIsNotCalibrated(MomentKind kind, absl::Span<const PrunableLayer> layers,
                                      Structure structure, std::optional<int64_t> memory_bytes,
                                      std::vector<GroupChoice>* choices);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATED_GROUPS_H_
