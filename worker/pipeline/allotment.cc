#include "worker/pipeline/allotment.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/model/flops.h"
#include "worker/pipeline/group_allotment.h"
#include "worker/pipeline/model_size.h"
#include "worker/prune/sensitivity.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

using Amount = SizeBudgetSpec::Amount;

constexpr absl::string_view kMoreLayers =
    "lower target.min_blocks or use smaller blocks so that more layers are pruned";
constexpr absl::string_view kMoreGroups =
    "lower target.min_candidates so that more groups are pruned";

absl::Status CannotBeMet(absl::string_view message) {
  return absl::FailedPreconditionError(absl::StrCat("spec.target.", message));
}

// A budget in one unit, and what the layers cost in it.
struct Budget {
  std::string field;  // Of the target.
  std::string unit;
  double whole = 0;      // What the dense model comes to,
  double requested = 0;  // what it may come to,
  double rest = 0;       // and what of it is not the layers'.
  std::vector<BudgetedLayer> layers;
  absl::string_view remedy = kMoreLayers;
};

absl::Status NothingWouldGo(const Budget& budget) {
  return CannotBeMet(absl::StrCat(budget.field, ": nothing would be pruned: ask for more"));
}

// Extents of the kernel of one output: of a stack of matrices, of one of them.
Shape ExtentsOf(const PrunableLayer& layer) {
  if (layer.kind == LayerKind::kConv) return layer.shape;
  return Shape({layer.rows, layer.cols});
}

std::unique_ptr<Allocation> AllocationFor(BudgetKind kind,
                                          const std::vector<const LayerChoice*>& layers,
                                          const Budget& budget, const KernelPlan& plan) {
  switch (kind) {
    case BudgetKind::kUniform:
    case BudgetKind::kGlobal:
      break;
    case BudgetKind::kErk: {
      std::vector<Shape> extents;
      for (const LayerChoice* choice : layers) extents.push_back(ExtentsOf(choice->layer));
      return NewErkAllocation(extents);
    }
    case BudgetKind::kSensitivity: {
      std::vector<SensitivityCurve> curves;
      for (const LayerChoice* choice : layers) {
        curves.push_back(plan.sensitivity->curves.at(choice->layer.weight));
      }
      return NewSensitivityAllocation(curves, budget.layers);
    }
  }
  return NewUniformAllocation(layers.size());
}

// In blocks or candidates.
Budget SparsityBudget(const PruningTargetSpec& target, std::vector<BudgetedLayer> layers) {
  Budget budget;
  budget.field = "sparsity";
  budget.unit = target.structure.has_value() ? "candidates" : "blocks";
  if (target.structure.has_value()) budget.remedy = kMoreGroups;
  int64_t all = 0, each = 0;
  for (const BudgetedLayer& layer : layers) {
    all += layer.block_count;
    each += KeptBlocks(target.sparsity, layer.block_count);
  }
  budget.layers = std::move(layers);
  budget.whole = static_cast<double>(all);
  // Without bounds each layer of a uniform budget has the sparsity to its nearest block.
  const bool uniform = target.budget == BudgetKind::kUniform;
  budget.requested = static_cast<double>(uniform ? each : KeptBlocks(target.sparsity, all));
  return budget;
}

absl::StatusOr<Budget> SizeBudget(const PruningTargetSpec& target, const LoadedJob& job,
                                  const std::vector<const LayerChoice*>& layers) {
  const SizeBudgetSpec& size = *target.size;
  Budget budget;
  budget.field = std::string(AmountName(size.amount));
  budget.unit = size.amount == Amount::kFlops ? "operations" : budget.field;
  std::vector<std::shared_ptr<const BlockPartition>> partitions;
  for (const LayerChoice* choice : layers) partitions.push_back(choice->partition);
  // Where layers compete, which are left dense is not known before.
  const bool whole = target.budget != BudgetKind::kGlobal;
  ASSIGN_OR_RETURN(SizeCosts costs, SizeCostsIn(size.amount, job.graph, partitions, whole));
  budget.whole = costs.dense;
  budget.requested = RequestedAmount(size, WholeFlops(costs.dense));
  budget.rest = costs.rest;
  for (size_t i = 0; i < layers.size(); ++i) {
    budget.layers.push_back(BudgetedLayerOf(*layers[i]));
    budget.layers.back().cost = std::move(costs.layers[i]);
  }
  if (budget.requested < budget.whole) return budget;
  return CannotBeMet(absl::StrFormat(
      "%s: the dense model has %.0f %s, no more than the %.0f asked for: there is nothing to prune",
      budget.field, budget.whole, budget.unit, budget.requested));
}

// As far as bounds allow.
absl::Status TooLittle(const Budget& budget, double least) {
  return CannotBeMet(absl::StrFormat(
      "%s: of %.0f %s of the model %.0f are to be left, but it has %.0f at the least: %.0f in what "
      "is not pruned and %.0f in what is pruned as far as it may be; ask for less "
      "pruning, %s, or loosen target.layer_targets",
      budget.field, budget.whole, budget.unit, budget.requested, budget.rest + least, budget.rest,
      least, budget.remedy));
}

absl::Status TooMuch(const Budget& budget, double most) {
  return CannotBeMet(absl::StrFormat(
      "%s: %.0f of %.0f %s are to be left, but target.layer_targets allow %.0f at the most: ask "
      "for more pruning, or loosen them",
      budget.field, budget.requested, budget.whole, budget.unit, most));
}

// How many blocks all layers together may keep, whichever they are.
absl::StatusOr<double> GlobalSparsity(const Budget& budget) {
  double least = 0, dearest = 0;
  int64_t kept = 0, most = 0, all = 0;
  for (const BudgetedLayer& layer : budget.layers) {
    const double cost = layer.cost(layer.min_kept);
    least += cost;
    kept += layer.min_kept;
    most += layer.max_kept;
    all += layer.block_count;
    // Further blocks are no larger.
    if (layer.min_kept == layer.max_kept) continue;
    dearest = std::max(dearest, layer.cost(layer.min_kept + 1) - cost);
  }
  const double left = budget.requested - budget.rest - least;
  if (left < 0) return TooLittle(budget, least);
  if (dearest > 0) kept += static_cast<int64_t>(left / dearest);
  return 1 - static_cast<double>(std::min(kept, most)) / static_cast<double>(all);
}

BudgetedLayer BoundedLayer(int64_t count, double min_sparsity, double max_sparsity) {
  BudgetedLayer layer;
  layer.block_count = count;
  layer.min_kept = KeptBlocks(max_sparsity, count);
  layer.max_kept = KeptBlocks(min_sparsity, count);
  layer.cost = [](int64_t kept) { return static_cast<double>(kept); };
  return layer;
}

double SparsityOf(int64_t kept, int64_t count) {
  return 1 - static_cast<double>(kept) / static_cast<double>(count);
}

// Blocks, or candidates, that each layer, or group, keeps by `allocation`, where the budget settles
// or bounds that.
absl::StatusOr<std::vector<int64_t>> KeptWithin(const PruningTargetSpec& target,
                                                const Allocation& allocation,
                                                const Budget& budget) {
  double left = budget.requested - budget.rest;
  const double least = AllotmentAt(allocation, budget.layers, 0).cost;
  if (!target.size.has_value()) {
    // A sparsity is meant, and not only a limit; but bounds are to the nearest block of each layer.
    const double slack = static_cast<double>(budget.layers.size()) / 2;
    const double most = AllotmentAt(allocation, budget.layers, 1).cost;
    if (most < left - slack) return TooMuch(budget, most);
    if (least <= left + slack) left = std::max(left, least);
  }
  const absl::StatusOr<Allotment> allotment = Allot(allocation, budget.layers, left);
  if (!allotment.ok()) return TooLittle(budget, least);
  for (size_t i = 0; i < budget.layers.size(); ++i) {
    if (allotment->kept[i] < budget.layers[i].block_count) return allotment->kept;
  }
  return NothingWouldGo(budget);
}

}  // namespace

bool SettlesLayers(const PruningTargetSpec& target) {
  if (target.latency.has_value()) return true;
  switch (target.budget) {
    case BudgetKind::kGlobal:
      return false;
    case BudgetKind::kUniform:
      return target.size.has_value() || !target.layer_targets.empty();
    case BudgetKind::kErk:
    case BudgetKind::kSensitivity:
      return true;
  }
  return false;
}

std::vector<const LayerChoice*> LayersToPrune(const LoadedJob& job) {
  std::vector<const LayerChoice*> layers;
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition != nullptr) layers.push_back(&choice);
  }
  return layers;
}

BudgetedLayer BudgetedLayerOf(const LayerChoice& choice) {
  return BoundedLayer(choice.block_count, choice.min_sparsity, choice.max_sparsity);
}

BudgetedLayer BudgetedLayerOf(const GroupChoice& choice) {
  return BoundedLayer(choice.group->count(), choice.min_sparsity, choice.max_sparsity);
}

std::map<std::string, double> SparsitiesOf(const std::vector<const LayerChoice*>& layers,
                                           const std::vector<int64_t>& kept) {
  std::map<std::string, double> sparsities;
  for (size_t i = 0; i < layers.size(); ++i) {
    sparsities[layers[i]->layer.weight] = SparsityOf(kept[i], layers[i]->block_count);
  }
  return sparsities;
}

absl::Status AllotBudget(const JobSpec& spec, const LoadedJob& job, KernelPlan* plan) {
  const PruningTargetSpec& target = *spec.target;
  const std::vector<const LayerChoice*> layers = LayersToPrune(job);
  std::vector<BudgetedLayer> budgeted;
  for (const LayerChoice* choice : layers) budgeted.push_back(BudgetedLayerOf(*choice));
  Budget budget = SparsityBudget(target, std::move(budgeted));
  if (target.size.has_value()) {
    ASSIGN_OR_RETURN(budget, SizeBudget(target, job, layers));
  }
  if (target.budget == BudgetKind::kGlobal && target.size.has_value()) {
    ASSIGN_OR_RETURN(plan->global_sparsity, GlobalSparsity(budget));
    return absl::OkStatus();
  }
  const bool has_bounds = !target.layer_targets.empty();
  if (!SettlesLayers(target) && !has_bounds) {
    return budget.requested < budget.whole ? absl::OkStatus() : NothingWouldGo(budget);
  }
  const std::unique_ptr<Allocation> allocation =
      AllocationFor(target.budget, layers, budget, *plan);
  ASSIGN_OR_RETURN(const std::vector<int64_t> kept, KeptWithin(target, *allocation, budget));
  if (SettlesLayers(target)) plan->sparsities = SparsitiesOf(layers, kept);
  return absl::OkStatus();
}

absl::Status AllotGroups(const JobSpec& spec, const LoadedJob& job,
                         const std::function<absl::Status()>& check, KernelPlan* plan) {
  const PruningTargetSpec& target = *spec.target;
  // Else each group has the target's sparsity, which takes something away.
  if (!target.size.has_value() && target.layer_targets.empty()) return absl::OkStatus();
  const std::vector<const GroupChoice*> groups = GroupsToPrune(job);
  std::vector<BudgetedLayer> budgeted;
  for (const GroupChoice* choice : groups) budgeted.push_back(BudgetedLayerOf(*choice));
  std::vector<int64_t> kept;
  if (target.size.has_value()) {
    ASSIGN_OR_RETURN(kept, CandidatesWithin(spec, job, budgeted, check));
  } else {
    const std::unique_ptr<Allocation> allocation = NewUniformAllocation(groups.size());
    ASSIGN_OR_RETURN(kept,
                     KeptWithin(target, *allocation, SparsityBudget(target, std::move(budgeted))));
  }
  if (!SettlesLayers(target)) return absl::OkStatus();
  for (size_t i = 0; i < groups.size(); ++i) {
    plan->sparsities[groups[i]->name] = SparsityOf(kept[i], groups[i]->group->count());
  }
  return absl::OkStatus();
}

}  // namespace topiary
