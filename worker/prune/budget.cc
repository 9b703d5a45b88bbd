#include "worker/prune/budget.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "worker/prune/glob.h"
#include "worker/prune/layer_bounds.h"

namespace topiary {
namespace {

constexpr size_t kMostNamed = 20;

absl::StatusOr<bool> MatchesAny(const std::vector<std::string>& patterns,
                                const PrunableLayer& layer, LayerMatcher* matcher) {
  for (const std::string& pattern : patterns) {
    ASSIGN_OR_RETURN(const bool matches, matcher->Matches(pattern, layer.weight, layer.node_name));
    if (matches) return true;
  }
  return false;
}

absl::Status CheckPatterns(absl::string_view field, const std::vector<std::string>& patterns,
                           const std::vector<PrunableLayer>& layers, LayerMatcher* matcher) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    bool found = false;
    for (size_t j = 0; j < layers.size() && !found; ++j) {
      ASSIGN_OR_RETURN(found, matcher->Matches(patterns[i], layers[j].weight, layers[j].node_name));
    }
    if (found) continue;
    std::string names;
    for (size_t j = 0; j < layers.size() && j < kMostNamed; ++j) {
      absl::StrAppend(&names, " '", layers[j].weight, "'");
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "target.", field, "[", i, "] '", patterns[i],
        "' matches no node or weight of a Gemm, MatMul or Conv; the weights are:",
        names.empty() ? " none" : names, layers.size() > kMostNamed ? " and more" : ""));
  }
  return absl::OkStatus();
}

// Empty if the layer is to be pruned.
absl::StatusOr<std::string> ReasonToStayDense(const PrunableLayer& layer, int64_t block_count,
                                              const std::set<std::string>& trainable,
                                              const PruningTarget& target, LayerMatcher* matcher) {
  if (trainable.count(layer.weight) == 0) return "not trained: no output depends on it";
  ASSIGN_OR_RETURN(const bool excluded, MatchesAny(target.exclude_layers, layer, matcher));
  if (excluded) return "excluded by name";
  if (!target.include_layers.empty()) {
    ASSIGN_OR_RETURN(const bool included, MatchesAny(target.include_layers, layer, matcher));
    if (!included) return "not included by name";
  }
  if (block_count < target.min_blocks) {
    return absl::StrCat(block_count, block_count == 1 ? " block" : " blocks", ", fewer than ",
                        target.min_blocks);
  }
  if (target.n_of_m.has_value() && layer.rows <= target.n_of_m->n) {
    return absl::StrCat(layer.rows, " inputs, no more than the ", target.n_of_m->n,
                        " of each run that are kept");
  }
  // Else what the layer has is settled, or competed for, with the other layers.
  const bool alone = target.budget == BudgetKind::kUniform && target.sparsity.has_value() &&
                     target.layer_targets.empty() && !target.n_of_m.has_value();
  if (alone && KeptBlocks(*target.sparsity, block_count) == block_count) {
    return absl::StrCat("a sparsity of ", *target.sparsity, " of ", block_count,
                        block_count == 1 ? " block" : " blocks", " rounds to none");
  }
  return std::string();
}

// That the partitions of the layers chosen fit into `memory_bytes`.
absl::Status CheckMemory(const std::vector<LayerChoice>& choices, const BlockShape& block,
                         int64_t memory_bytes) {
  double needed = 0;
  for (const LayerChoice& choice : choices) {
    if (!choice.dense_reason.empty()) continue;
    needed += static_cast<double>(BlockPartition::BytesToCreate(choice.layer, block));
  }
  if (needed <= static_cast<double>(memory_bytes)) return absl::OkStatus();
  constexpr double kMebibyte = 1 << 20;
  return absl::ResourceExhaustedError(absl::StrFormat(
      "blocks of %d x %d need about %.0f MiB to say which weights are in which, more than the %.0f "
      "MiB that the model leaves of what the job may use: use larger blocks (target.block_rows, "
      "target.block_cols), prune fewer layers, or a worker with more memory "
      "(spec.placement.memory_bytes)",
      block.rows, block.cols, needed / kMebibyte, static_cast<double>(memory_bytes) / kMebibyte));
}

absl::Status NothingToPrune(const std::vector<LayerChoice>& choices, const PruningTarget& target) {
  if (choices.empty()) {
    return absl::InvalidArgumentError(
        "the model has no Gemm, MatMul or Conv with a constant weight: there is nothing to prune");
  }
  std::string reasons;
  for (size_t i = 0; i < choices.size() && i < kMostNamed; ++i) {
    absl::StrAppend(&reasons, i == 0 ? "" : "; ", "'", choices[i].layer.weight,
                    "': ", choices[i].dense_reason);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no layer would be pruned with blocks of ", target.block.rows, " x ",
                   target.block.cols, " (", reasons,
                   "): use smaller blocks (target.block_rows, target.block_cols), a higher "
                   "sparsity, lower target.min_blocks, or check the layer patterns"));
}

}  // namespace

absl::StatusOr<std::vector<LayerChoice>> ChooseLayers(const std::vector<PrunableLayer>& layers,
                                                      const std::set<std::string>& trainable,
                                                      const PruningTarget& target,
                                                      std::optional<int64_t> memory_bytes,
                                                      const std::function<absl::Status()>& check) {
  if (target.sparsity.has_value() && !(*target.sparsity > 0 && *target.sparsity < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("target.sparsity is ", *target.sparsity, ": it must lie in (0, 1)"));
  }
  LayerMatcher matcher(check);
  RETURN_IF_ERROR(CheckPatterns("include_layers", target.include_layers, layers, &matcher));
  RETURN_IF_ERROR(CheckPatterns("exclude_layers", target.exclude_layers, layers, &matcher));
  std::vector<std::string> patterns;
  for (const LayerTarget& bounds : target.layer_targets) patterns.push_back(bounds.pattern);
  RETURN_IF_ERROR(CheckPatterns("layer_targets", patterns, layers, &matcher));
  std::vector<LayerChoice> choices;
  bool any_pruned = false;
  for (const PrunableLayer& layer : layers) {
    LayerChoice choice;
    choice.layer = layer;
    ASSIGN_OR_RETURN(choice.block_count, BlockPartition::CountBlocks(layer, target.block));
    ASSIGN_OR_RETURN(choice.dense_reason,
                     ReasonToStayDense(layer, choice.block_count, trainable, target, &matcher));
    any_pruned = any_pruned || choice.dense_reason.empty();
    choices.push_back(std::move(choice));
  }
  if (!any_pruned) return NothingToPrune(choices, target);
  RETURN_IF_ERROR(SetBounds(
      target.layer_targets,
      [&](absl::string_view pattern, size_t i) {
        return matcher.Matches(pattern, choices[i].layer.weight, choices[i].layer.node_name);
      },
      [](const LayerChoice& choice) { return choice.layer.weight; }, &choices));
  if (memory_bytes.has_value()) RETURN_IF_ERROR(CheckMemory(choices, target.block, *memory_bytes));
  for (LayerChoice& choice : choices) {
    if (!choice.dense_reason.empty()) continue;
    RETURN_IF_ERROR(check());
    ASSIGN_OR_RETURN(BlockPartition partition, BlockPartition::Create(choice.layer, target.block));
    choice.partition = std::make_shared<const BlockPartition>(std::move(partition));
  }
  return choices;
}

}  // namespace topiary
