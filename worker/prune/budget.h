// From a target to the layers that are pruned and the number of blocks each keeps.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PRUNE_BUDGET_H_
#define TOPIARY_WORKER_PRUNE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/layers.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/n_of_m.h"
#include "worker/prune/structure.h"

namespace topiary {

enum class BudgetKind {
  kUniform,  // Each layer has the target sparsity: the paper's choice, and the default.
  kGlobal,   // The blocks of all layers are ranked together; each layer keeps at least one.
  // What each layer has is settled before training (MethodLayer::sparsity): see allocation.h.
  kErk,
  kSensitivity,
};

// Bounds for the layers whose names match `pattern` (glob.h).
struct LayerTarget {
  std::string pattern;
  // Part of the blocks that is zero, to the nearest block: 0 <= min <= max <= 1.
  double min_sparsity = 0;
  double max_sparsity = 1;
};

// What to prune and how far.
struct PruningTarget {
  // Part of the blocks of the pruned layers, or of the candidates of each group, to be zero, in
  // (0, 1). None: each layer has its own (LayerChoice, MethodLayer).
  std::optional<double> sparsity = 0.9;
  BlockShape block;
  // Instead of choosing blocks freely: `sparsity` is then n_of_m->sparsity(), blocks are single
  // elements, and the budget is uniform.
  std::optional<NOfM> n_of_m = std::nullopt;
  BudgetKind budget = BudgetKind::kUniform;
  // Patterns (glob.h) on names of nodes or weights. Empty `include_layers`: all. `exclude_layers`
  // wins.
  std::vector<std::string> include_layers;
  std::vector<std::string> exclude_layers;
  std::vector<LayerTarget> layer_targets;  // The first that matches a layer counts.
  // Layers of fewer blocks stay dense: 100 in arXiv 2402.17902.
  int64_t min_blocks = 100;

  // What is pruned in place of blocks (group_choice.h): `block` and `min_blocks` are not read then.
  std::optional<Structure> structure = std::nullopt;
  // Groups of fewer candidates stay as they are.
  int64_t min_candidates = 2;
  // Of branches and transformer layers: as many of the first and of the last stay.
  int64_t protect_first = 1;
  int64_t protect_last = 1;
};

// What becomes of one layer.
struct LayerChoice {
  PrunableLayer layer;
  int64_t block_count = 0;
  // Null: the layer stays dense, for the reason given.
  std::shared_ptr<const BlockPartition> partition;
  std::string dense_reason;
  // Of its own, where the target has none.
  std::optional<double> sparsity;
  // Bounds of what it may be, in [0, 1].
  double min_sparsity = 0;
  double max_sparsity = 1;
};

// Decides which of `layers` are pruned. `trainable` names the weights that training changes; others
// cannot be pruned.
// INVALID_ARGUMENT where a pattern matches nothing (one of a layer target: nothing that is pruned),
// a block shape or sparsity is out of range, or no layer at all would be pruned: the message says
// why of each, and what to change. RESOURCE_EXHAUSTED, with figures and a remedy, before the memory
// is taken, where the partitions need more than `memory_bytes` (none: no limit). Errors of `check`,
// which is asked now and then.
absl::StatusOr<std::vector<LayerChoice>> ChooseLayers(
    const std::vector<PrunableLayer>& layers, const std::set<std::string>& trainable,
    const PruningTarget& target, std::optional<int64_t> memory_bytes = std::nullopt,
    const std::function<absl::Status()>& check = [] { return absl::OkStatus(); });

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BUDGET_H_
