#include "worker/prune/budget.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/glob.h"

namespace topiary {
namespace {

bool Matches(const std::string& pattern, const PrunableLayer& layer) {
  return GlobMatches(pattern, layer.weight) ||
         (!layer.node_name.empty() && GlobMatches(pattern, layer.node_name));
}

bool MatchesAny(const std::vector<std::string>& patterns, const PrunableLayer& layer) {
  for (const std::string& pattern : patterns) {
    if (Matches(pattern, layer)) return true;
  }
  return false;
}

absl::Status CheckPatterns(absl::string_view field, const std::vector<std::string>& patterns,
                           const std::vector<PrunableLayer>& layers) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    bool found = false;
    for (const PrunableLayer& layer : layers) found = found || Matches(patterns[i], layer);
    if (found) continue;
    std::string names;
    for (const PrunableLayer& layer : layers) absl::StrAppend(&names, " '", layer.weight, "'");
    return absl::InvalidArgumentError(
        absl::StrCat("target.", field, "[", i, "] '", patterns[i],
                     "' matches no node or weight of a Gemm, MatMul or Conv; the weights are:",
                     names.empty() ? " none" : names));
  }
  return absl::OkStatus();
}

// Empty if the layer is to be pruned.
std::string ReasonToStayDense(const PrunableLayer& layer, int64_t block_count,
                              const std::set<std::string>& trainable, const PruningTarget& target) {
  if (trainable.count(layer.weight) == 0) return "not trained: no output depends on it";
  if (MatchesAny(target.exclude_layers, layer)) return "excluded by name";
  if (!target.include_layers.empty() && !MatchesAny(target.include_layers, layer)) {
    return "not included by name";
  }
  if (block_count < target.min_blocks) {
    return absl::StrCat(block_count, block_count == 1 ? " block" : " blocks", ", fewer than ",
                        target.min_blocks);
  }
  return "";
}

// Gives `choices` the bounds of `targets`.
absl::Status SetBounds(const std::vector<LayerTarget>& targets, std::vector<LayerChoice>* choices) {
  for (LayerChoice& choice : *choices) {
    for (const LayerTarget& target : targets) {
      if (!Matches(target.pattern, choice.layer)) continue;
      choice.min_sparsity = target.min_sparsity;
      choice.max_sparsity = target.max_sparsity;
      break;
    }
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    bool any_pruned = false;
    std::string dense;
    for (const LayerChoice& choice : *choices) {
      if (!Matches(targets[i].pattern, choice.layer)) continue;
      any_pruned = any_pruned || choice.partition != nullptr;
      absl::StrAppend(&dense, " '", choice.layer.weight, "' (", choice.dense_reason, ")");
    }
    if (any_pruned) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "target.layer_targets[", i, "] '", targets[i].pattern,
        "' matches layers that stay dense alone:", dense, "; leave it out, or have them pruned"));
  }
  return absl::OkStatus();
}

absl::Status NothingToPrune(const std::vector<LayerChoice>& choices, const PruningTarget& target) {
  if (choices.empty()) {
    return absl::InvalidArgumentError(
        "the model has no Gemm, MatMul or Conv with a constant weight: there is nothing to prune");
  }
  std::string reasons;
  for (size_t i = 0; i < choices.size() && i < 20; ++i) {
    absl::StrAppend(&reasons, i == 0 ? "" : "; ", "'", choices[i].layer.weight,
                    "': ", choices[i].dense_reason);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no layer would be pruned with blocks of ", target.block.rows, " x ",
                   target.block.cols, " (", reasons,
                   "): use smaller blocks (target.block_rows, target.block_cols), lower "
                   "target.min_blocks, or check the layer patterns"));
}

}  // namespace

absl::StatusOr<std::vector<LayerChoice>> ChooseLayers(const std::vector<PrunableLayer>& layers,
                                                      const std::set<std::string>& trainable,
                                                      const PruningTarget& target) {
  if (target.sparsity.has_value() && !(*target.sparsity > 0 && *target.sparsity < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("target.sparsity is ", *target.sparsity, ": it must lie in (0, 1)"));
  }
  RETURN_IF_ERROR(CheckPatterns("include_layers", target.include_layers, layers));
  RETURN_IF_ERROR(CheckPatterns("exclude_layers", target.exclude_layers, layers));
  std::vector<std::string> patterns;
  for (const LayerTarget& bounds : target.layer_targets) patterns.push_back(bounds.pattern);
  RETURN_IF_ERROR(CheckPatterns("layer_targets", patterns, layers));
  std::vector<LayerChoice> choices;
  bool any_pruned = false;
  for (const PrunableLayer& layer : layers) {
    LayerChoice choice;
    choice.layer = layer;
    ASSIGN_OR_RETURN(choice.block_count, BlockPartition::CountBlocks(layer, target.block));
    choice.dense_reason = ReasonToStayDense(layer, choice.block_count, trainable, target);
    if (choice.dense_reason.empty()) {
      ASSIGN_OR_RETURN(BlockPartition partition, BlockPartition::Create(layer, target.block));
      choice.partition = std::make_shared<const BlockPartition>(std::move(partition));
      any_pruned = true;
    }
    choices.push_back(std::move(choice));
  }
  if (!any_pruned) return NothingToPrune(choices, target);
  RETURN_IF_ERROR(SetBounds(target.layer_targets, &choices));
  return choices;
}

}  // namespace topiary
