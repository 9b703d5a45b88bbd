// Bounds of layer targets, for layers and for groups of candidates alike. Only for ChooseLayers()
// and ChooseGroups().
#ifndef TOPIARY_WORKER_PRUNE_LAYER_BOUNDS_H_
#define TOPIARY_WORKER_PRUNE_LAYER_BOUNDS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/budget.h"

namespace topiary {

// Gives each of `choices` the bounds of the first of `targets` whose pattern names it, by
// `matches(pattern, index)`. INVALID_ARGUMENT, with the names, by `name_of(choice)`, of what stays
// dense, where a target names nothing that is pruned.
template <typename Choice, typename Matches, typename NameOf>
absl::Status SetBounds(const std::vector<LayerTarget>& targets, const Matches& matches,
                       const NameOf& name_of, std::vector<Choice>* choices) {
  constexpr size_t kMostNamed = 20;
  std::vector<bool> has_bounds(choices->size(), false);
  for (size_t i = 0; i < targets.size(); ++i) {
    bool any_pruned = false;
    size_t named = 0;
    std::string dense;
    for (size_t j = 0; j < choices->size(); ++j) {
      Choice& choice = (*choices)[j];
      // The first pattern counts; a later one need only be known to be of use.
      if (has_bounds[j] && any_pruned) continue;
      ASSIGN_OR_RETURN(const bool is_named, matches(targets[i].pattern, j));
      if (!is_named) continue;
      if (!has_bounds[j]) {
        has_bounds[j] = true;
        choice.min_sparsity = targets[i].min_sparsity;
        choice.max_sparsity = targets[i].max_sparsity;
      }
      any_pruned = any_pruned || choice.dense_reason.empty();
      if (any_pruned || ++named > kMostNamed) continue;
      absl::StrAppend(&dense, " '", name_of(choice), "' (", choice.dense_reason, ")");
    }
    if (any_pruned) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "target.layer_targets[", i, "] '", targets[i].pattern, "' names nothing that is pruned:",
        dense, named > kMostNamed ? " and more" : "", "; leave it out, or have them pruned"));
  }
  return absl::OkStatus();
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_LAYER_BOUNDS_H_
