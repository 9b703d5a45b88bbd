#include "worker/prune/group_choice.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/shape_inference.h"
#include "worker/prune/channel_candidates.h"
#include "worker/prune/glob.h"

namespace topiary {
namespace {

constexpr size_t kMostNamed = 20;

bool Matches(const std::string& pattern, const WeightAxis& maker) {
  return GlobMatches(pattern, maker.weight) ||
         (!maker.node_name.empty() && GlobMatches(pattern, maker.node_name));
}

// Whether one of `patterns` names one of the makers.
bool NamesAny(const std::vector<std::string>& patterns, const std::vector<WeightAxis>& makers) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return std::any_of(makers.begin(), makers.end(),
                       [&](const WeightAxis& maker) { return Matches(pattern, maker); });
  });
}

absl::Status CheckPatterns(absl::string_view field, const std::vector<std::string>& patterns,
                           const std::vector<FoundGroup>& groups, Structure structure) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    const bool found = std::any_of(groups.begin(), groups.end(), [&](const FoundGroup& group) {
      return NamesAny({patterns[i]}, group.makers);
    });
    if (found) continue;
    std::string names;
    for (const FoundGroup& group : groups) {
      for (const WeightAxis& maker : group.makers) absl::StrAppend(&names, " '", maker.weight, "'");
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "target.", field, "[", i, "] '", patterns[i], "' matches no node or weight that makes ",
        StructureName(structure), "; the weights are:", names.empty() ? " none" : names));
  }
  return absl::OkStatus();
}

// Empty if the group is to be pruned.
std::string ReasonToStay(const FoundGroup& found, const PruningTarget& target) {
  if (found.group == nullptr) return found.reason;
  if (NamesAny(target.exclude_layers, found.makers)) return "excluded by name";
  if (!target.include_layers.empty() && !NamesAny(target.include_layers, found.makers)) {
    return "not included by name";
  }
  const int64_t count = found.group->count();
  if (count >= target.min_candidates) return "";
  return absl::StrCat(count, count == 1 ? " candidate" : " candidates", ", fewer than ",
                      target.min_candidates);
}

// A batch of 2, where the graph allows one, keeps its axis apart from extents of 1.
absl::StatusOr<InferredGraph> InferAnyBatch(const Graph& graph) {
  if (const auto shapes = InputShapesForBatch(graph, 2); shapes.ok()) {
    absl::StatusOr<InferredGraph> inferred = InferShapes(graph, *shapes);
    if (inferred.ok()) return inferred;
  }
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  return InferShapes(graph, shapes);
}

absl::Status NothingToPrune(const std::vector<GroupChoice>& choices, Structure structure) {
  if (choices.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("target.structure: the model has no ", StructureName(structure),
                     " that can be told apart: choose another structure, or prune blocks"));
  }
  std::string reasons;
  for (size_t i = 0; i < choices.size() && i < kMostNamed; ++i) {
    absl::StrAppend(&reasons, i == 0 ? "" : "; ", "'", choices[i].makers[0],
                    "': ", choices[i].dense_reason);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "target.structure: no ", StructureName(structure), " would be pruned (", reasons,
      "): lower target.min_candidates, check the layer patterns, or choose another structure"));
}

}  // namespace

absl::StatusOr<std::vector<GroupChoice>> ChooseGroups(const Graph& graph,
                                                      const std::set<std::string>& trainable,
                                                      const PruningTarget& target) {
  CHECK(target.structure.has_value());
  if (!target.sparsity.has_value() || !(*target.sparsity > 0 && *target.sparsity < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("target.sparsity is ",
                                                   target.sparsity.value_or(0),
                                                   ": with a structure it must lie in (0, 1)"));
  }
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferAnyBatch(graph));
  const std::vector<FoundGroup> found =
      FindChannelCandidates(graph, inferred, trainable, *target.structure);
  RETURN_IF_ERROR(CheckPatterns("include_layers", target.include_layers, found, *target.structure));
  RETURN_IF_ERROR(CheckPatterns("exclude_layers", target.exclude_layers, found, *target.structure));
  std::vector<GroupChoice> choices;
  bool any_pruned = false;
  for (const FoundGroup& group : found) {
    GroupChoice choice;
    choice.group = group.group;
    for (const WeightAxis& maker : group.makers) choice.makers.push_back(maker.weight);
    choice.dense_reason = ReasonToStay(group, target);
    any_pruned = any_pruned || choice.dense_reason.empty();
    choices.push_back(std::move(choice));
  }
  if (!any_pruned) return NothingToPrune(choices, *target.structure);
  return choices;
}

}  // namespace topiary
