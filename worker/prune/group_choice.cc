#include "worker/prune/group_choice.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"
#include "worker/prune/calibrated_groups.h"
#include "worker/prune/channel_candidates.h"
#include "worker/prune/glob.h"
#include "worker/prune/layer_bounds.h"
#include "worker/prune/support.h"
#include "worker/prune/whole_candidates.h"

namespace topiary {
namespace {

constexpr size_t kMostNamed = 20;

// Whether one of `patterns` names one of the makers.
absl::StatusOr<bool> NamesAny(const std::vector<std::string>& patterns,
                              const std::vector<WeightAxis>& makers, LayerMatcher* matcher) {
  for (const std::string& pattern : patterns) {
    for (const WeightAxis& maker : makers) {
      ASSIGN_OR_RETURN(const bool matches,
                       matcher->Matches(pattern, maker.weight, maker.node_name));
      if (matches) return true;
    }
  }
  return false;
}

// `makers` are those of each group or candidate.
absl::Status CheckPatterns(absl::string_view field, const std::vector<std::string>& patterns,
                           const std::vector<std::vector<WeightAxis>>& makers, Structure structure,
                           LayerMatcher* matcher) {
  for (size_t i = 0; i < patterns.size(); ++i) {
    bool found = false;
    for (size_t j = 0; j < makers.size() && !found; ++j) {
      ASSIGN_OR_RETURN(found, NamesAny({patterns[i]}, makers[j], matcher));
    }
    if (found) continue;
    size_t named = 0;
    std::string names;
    for (const std::vector<WeightAxis>& of_one : makers) {
      for (const WeightAxis& maker : of_one) {
        if (++named <= kMostNamed) absl::StrAppend(&names, " '", maker.weight, "'");
      }
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "target.", field, "[", i, "] '", patterns[i], "' matches no node or weight that makes ",
        StructureName(structure), "; the weights are:", names.empty() ? " none" : names,
        named > kMostNamed ? " and more" : ""));
  }
  return absl::OkStatus();
}

absl::Status CheckPatterns(const PruningTarget& target,
                           const std::vector<std::vector<WeightAxis>>& makers,
                           LayerMatcher* matcher) {
  std::vector<std::string> bounded;
  for (const LayerTarget& bounds : target.layer_targets) bounded.push_back(bounds.pattern);
  RETURN_IF_ERROR(CheckPatterns("layer_targets", bounded, makers, *target.structure, matcher));
  RETURN_IF_ERROR(
      CheckPatterns("include_layers", target.include_layers, makers, *target.structure, matcher));
  return CheckPatterns("exclude_layers", target.exclude_layers, makers, *target.structure, matcher);
}

// Empty if patterns let what these make be pruned.
absl::StatusOr<std::string> ReasonByName(const std::vector<WeightAxis>& makers,
                                         const PruningTarget& target, LayerMatcher* matcher) {
  ASSIGN_OR_RETURN(const bool excluded, NamesAny(target.exclude_layers, makers, matcher));
  if (excluded) return "excluded by name";
  if (target.include_layers.empty()) return std::string();
  ASSIGN_OR_RETURN(const bool included, NamesAny(target.include_layers, makers, matcher));
  return included ? "" : "not included by name";
}

std::string ReasonByCount(int64_t count, const PruningTarget& target) {
  if (count >= target.min_candidates) return "";
  return absl::StrCat(count, count == 1 ? " candidate" : " candidates", ", fewer than ",
                      target.min_candidates);
}

std::vector<std::string> NamesOf(const std::vector<WeightAxis>& makers) {
  std::vector<std::string> names;
  for (const WeightAxis& maker : makers) {
    if (std::find(names.begin(), names.end(), maker.weight) == names.end()) {
      names.push_back(maker.weight);
    }
  }
  return names;
}

bool IsWhole(Structure structure) {
  return structure == Structure::kBranches || structure == Structure::kTransformerLayers ||
         structure == Structure::kEmbeddingTables;
}

absl::StatusOr<std::vector<GroupChoice>> GroupsOfLayers(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    const PruningTarget& target, const GroupConditions& conditions, LayerMatcher* matcher) {
  ASSIGN_OR_RETURN(std::vector<FoundGroup> found,
                   FindChannelCandidates(graph, inferred, trainable, *target.structure,
                                         conditions.memory_bytes, matcher->check()));
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  std::vector<std::vector<WeightAxis>> makers;
  for (const FoundGroup& group : found) makers.push_back(group.makers);
  RETURN_IF_ERROR(CheckPatterns(target, makers, matcher));
  std::vector<GroupChoice> choices;
  for (FoundGroup& group : found) {
    GroupChoice choice;
    choice.name = group.name;
    choice.group = group.group;
    choice.makers = NamesOf(group.makers);
    choice.dense_reason = group.reason;
    if (choice.group != nullptr) {
      ASSIGN_OR_RETURN(choice.dense_reason, ReasonByName(group.makers, target, matcher));
      if (choice.dense_reason.empty()) {
        choice.dense_reason = ReasonByCount(choice.group->count(), target);
      }
      if (choice.dense_reason.empty() && conditions.moments.has_value()) {
        choice.dense_reason = ReasonNotToCalibrate(*conditions.moments, *choice.group, layers);
      }
      if (choice.dense_reason.empty() && conditions.moments == MomentKind::kFull) {
        ASSIGN_OR_RETURN(choice.reader, ReaderBlocks(*choice.group, layers));
      }
    }
    choices.push_back(std::move(choice));
  }
  RETURN_IF_ERROR(SetBounds(
      target.layer_targets,
      [&](const std::string& pattern, size_t i) { return NamesAny({pattern}, makers[i], matcher); },
      [](const GroupChoice& choice) { return choice.name; }, &choices));
  return choices;
}

// One group, and an entry for each that must stay.
absl::StatusOr<std::vector<GroupChoice>> GroupOfWholes(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    const PruningTarget& target, const GroupConditions& conditions, LayerMatcher* matcher) {
  ASSIGN_OR_RETURN(const std::vector<WholeCandidate> found,
                   FindWholeCandidates(graph, inferred, trainable, *target.structure,
                                       conditions.memory_bytes, matcher->check()));
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  std::vector<std::vector<WeightAxis>> makers;
  for (const WholeCandidate& whole : found) makers.push_back(whole.makers);
  RETURN_IF_ERROR(CheckPatterns(target, makers, matcher));
  const bool protects = *target.structure != Structure::kEmbeddingTables;
  const auto count = static_cast<int64_t>(found.size());
  std::vector<WholeCandidate> candidates;
  std::vector<GroupChoice> choices;
  for (int64_t i = 0; i < count; ++i) {
    std::string reason = found[i].reason;
    if (reason.empty()) {
      ASSIGN_OR_RETURN(reason, ReasonByName(found[i].makers, target, matcher));
    }
    if (reason.empty() && protects) {
      if (i < target.protect_first) reason = "among the first, which target.protect_first keeps";
      if (i >= count - target.protect_last)
        reason = "among the last, which target.protect_last keeps";
    }
    if (reason.empty() && conditions.moments.has_value()) {
      reason =
          ReasonNotToCalibrate(*conditions.moments, GroupOf(found[i].name, {found[i]}), layers);
    }
    if (reason.empty()) {
      candidates.push_back(found[i]);
    } else {
      choices.push_back({found[i].name, nullptr, NamesOf(found[i].makers), std::move(reason)});
    }
  }
  if (candidates.empty()) return choices;
  const std::string name(StructureName(*target.structure));
  GroupChoice group;
  group.name = name;
  group.group = std::make_shared<const CandidateGroup>(GroupOf(name, candidates));
  for (const WholeCandidate& whole : candidates) group.makers.push_back(whole.name);
  group.dense_reason = ReasonByCount(group.group->count(), target);
  if (group.dense_reason.empty() && conditions.moments.has_value()) {
    group.dense_reason = ReasonNotToCalibrate(*conditions.moments, *group.group, layers);
  }
  choices.insert(choices.begin(), std::move(group));
  return choices;
}

// Groups of which the sparsity takes no candidate away say so.
void LeaveWhatRoundsToNone(const PruningTarget& target, std::vector<GroupChoice>* choices) {
  int64_t all = 0;
  for (GroupChoice& choice : *choices) {
    if (!choice.dense_reason.empty()) continue;
    if (choice.group->count() == 1) {
      choice.dense_reason = "its only candidate stays";
    } else {
      all += choice.group->count();
    }
  }
  // Else what a group has is settled, or competed for, with the others.
  if (!target.sparsity.has_value() || !target.layer_targets.empty()) return;
  for (GroupChoice& choice : *choices) {
    if (!choice.dense_reason.empty()) continue;
    const int64_t among = target.budget == BudgetKind::kGlobal ? all : choice.group->count();
    if (KeptBlocks(*target.sparsity, among) == among) {
      choice.dense_reason = absl::StrCat("a sparsity of ", *target.sparsity, " of ", among,
                                         " candidates rounds to none");
    }
  }
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

absl::Status CheckAnyPruned(const std::vector<GroupChoice>& choices, Structure structure) {
  const bool any_pruned =
      std::any_of(choices.begin(), choices.end(),
                  [](const GroupChoice& choice) { return choice.dense_reason.empty(); });
  if (any_pruned) return absl::OkStatus();
  if (choices.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("target.structure: the model has no ", StructureName(structure),
                     " that can be told apart: choose another structure, or prune blocks"));
  }
  std::string reasons;
  for (size_t i = 0; i < choices.size() && i < kMostNamed; ++i) {
    absl::StrAppend(&reasons, i == 0 ? "" : "; ", "'", choices[i].name,
                    "': ", choices[i].dense_reason);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "target.structure: no ", StructureName(structure), " would be pruned (", reasons,
      "): raise the sparsity, lower target.min_candidates, protect fewer, check the layer "
      "patterns, or choose another structure"));
}

}  // namespace

absl::StatusOr<std::vector<GroupChoice>> ChooseGroups(const Graph& graph,
                                                      const std::set<std::string>& trainable,
                                                      const PruningTarget& target,
                                                      const GroupConditions& conditions,
                                                      const std::function<absl::Status()>& check) {
  CHECK(target.structure.has_value());
  if (target.sparsity.has_value() && !(*target.sparsity > 0 && *target.sparsity < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("target.sparsity is ", *target.sparsity,
                                                   ": with a structure it must lie in (0, 1)"));
  }
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferAnyBatch(graph));
  LayerMatcher matcher(check);
  const auto choose = IsWhole(*target.structure) ? GroupOfWholes : GroupsOfLayers;
  ASSIGN_OR_RETURN(std::vector<GroupChoice> choices,
                   choose(graph, inferred, trainable, target, conditions, &matcher));
  LeaveWhatRoundsToNone(target, &choices);
  RETURN_IF_ERROR(CheckAnyPruned(choices, *target.structure));
  return choices;
}

}  // namespace topiary
