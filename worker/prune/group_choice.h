// From a target to the groups of candidates that are pruned.
#ifndef TOPIARY_WORKER_PRUNE_GROUP_CHOICE_H_
#define TOPIARY_WORKER_PRUNE_GROUP_CHOICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/input_moments.h"
#include "worker/model/graph.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/budget.h"
#include "worker/prune/candidate_group.h"

namespace topiary {

// What becomes of one group of candidates, or of a weight whose channels, or a branch or table
// that, are no candidates.
struct GroupChoice {
  std::string name;
  // Null where nothing of it may be pruned.
  std::shared_ptr<const CandidateGroup> group;
  std::vector<std::string> makers;  // Weights that make the candidates; may be empty.
  // Why nothing of it is pruned; empty: it is.
  std::string dense_reason;
  // Of its own, where the target has none.
  std::optional<double> sparsity = std::nullopt;
  // Bounds of what it may be, in [0, 1].
  double min_sparsity = 0;
  double max_sparsity = 1;
  // Where GroupConditions::moments is kFull: the candidates as blocks of the matrix that reads
  // them.
  std::shared_ptr<const BlockPartition> reader = nullptr;
};

// What candidates must be for, beside the target.
struct GroupConditions {
  // What finding them may take. None: no limit.
  std::optional<int64_t> memory_bytes = std::nullopt;
  // Of a method that prunes by calibration: what it cannot prune (calibrated_groups.h) stays.
  std::optional<MomentKind> moments = std::nullopt;
};

// Finds the candidates of `target.structure` in `graph`, and decides which groups are pruned: those
// with a maker that `target.include_layers` names, by its weight or node, and none that
// `target.exclude_layers` names, and with at least `target.min_candidates` candidates. Of branches,
// transformer layers and tables, which are one group, patterns choose single candidates,
// `target.protect_first` and `protect_last` of the first two stay, and `target.layer_targets`,
// which bound groups by their makers, must be empty. A group of which the sparsity, unless it is
// still to be settled, rounds to none stays too. `trainable` names the weights that training
// changes. INVALID_ARGUMENT where a pattern matches no weight that makes channels (one of a layer
// target: of none that is pruned), the sparsity is out of range, or no group would be pruned: the
// message says why of each, and what to change. RESOURCE_EXHAUSTED, with figures and a remedy,
// before the memory is taken, where finding them needs more than `conditions` allow.
// Other errors as InferShapes(), and those of `check`, which is asked now and then.
absl::StatusOr<std::vector<GroupChoice>> ChooseGroups(
    const Graph& graph, const std::set<std::string>& trainable, const PruningTarget& target,
    const GroupConditions& conditions = {},
    const std::function<absl::Status()>& check = [] { return absl::OkStatus(); });

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_GROUP_CHOICE_H_
