#include "worker/pipeline/feature_selection.h"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/features/computed_selection.h"
#include "worker/features/fresh_weights.h"
#include "worker/features/selector_registry.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

const FeatureSelectionSpec& SpecOf(const JobSpec& spec) {
  return std::get<FeatureSelectionSpec>(spec.method);
}

// The place among the inputs of `graph` of the one that `group` names, or of the only one.
absl::StatusOr<int32_t> InputOf(const FeatureGroupSpec& group, const Graph& graph) {
  const auto refuse = [&group](const auto&... what) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec.feature_selection.groups: '", group.name, "' ", what...));
  };
  if (group.input.empty()) {
    if (graph.inputs.size() == 1) return 0;
    return refuse("must name its input: the model has ", graph.inputs.size());
  }
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    if (graph.inputs[i].name == group.input) return static_cast<int32_t>(i);
  }
  return refuse("names input '", group.input, "', which the model does not have");
}

absl::StatusOr<std::vector<FeatureGroup>> GroupsOf(const FeatureSelectionSpec& spec,
                                                   const Graph& graph) {
  std::vector<FeatureGroup> groups;
  for (const FeatureGroupSpec& given : spec.groups) {
    ASSIGN_OR_RETURN(const int32_t input, InputOf(given, graph));
    FeatureGroup group;
    group.name = given.name;
    for (const int64_t column : given.columns) group.elements.push_back({input, column});
    groups.push_back(std::move(group));
  }
  return groups;
}

// What the header of a CSV file calls the elements of `feature`; empty where there are no names.
std::vector<std::string> NamesOf(const Feature& feature, const Dataset& data) {
  std::vector<std::string> names;
  for (const InputElement& element : feature.elements) {
    if (element.index >= static_cast<int64_t>(data.feature_names.size())) return {};
    names.push_back(data.feature_names[element.index]);
  }
  return names;
}

}  // namespace

absl::StatusOr<FeatureLayer> FindFeaturesFor(const FeatureSelectionSpec& spec, const Graph& graph) {
  ASSIGN_OR_RETURN(const std::vector<FeatureGroup> groups, GroupsOf(spec, graph));
  ASSIGN_OR_RETURN(FeatureLayer features, FindFeatures(graph, groups));
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  const auto& trained = inferred.parameters;
  if (std::find(trained.begin(), trained.end(), features.layer.weight) == trained.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the weight '", features.layer.weight, "' of the first layer is not trained"));
  }
  return features;
}

TaskSpec SelectionTask(const JobSpec& spec) {
  TaskSpec task = spec.task;
  const FeatureSelectionSpec& selection = SpecOf(spec);
  if (selection.epochs > 0 || selection.steps > 0) {
    task.epochs = selection.epochs;
    task.steps = selection.steps;
  }
  task.learning_rate.schedule = LearningRateSpec::Schedule::kConstant;
  return task;
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSelectorFor(const JobSpec& spec,
                                                                const FeatureLayer& features,
                                                                int64_t total_steps) {
  ASSIGN_OR_RETURN(CandidateFeatures candidates, CandidatesOf(features));
  return NewFeatureSelector(SpecOf(spec).selector, std::move(candidates), SpecOf(spec).count,
                            total_steps);
}

absl::StatusOr<std::vector<ChosenFeature>> SelectFor(const JobSpec& spec,
                                                     const FeatureLayer& features,
                                                     const PreparedData& data,
                                                     const std::function<absl::Status()>& check) {
  SelectionData selection;
  selection.train = &data.train;
  if (spec.memory_limit_bytes > 0) {
    // 0 would be no limit.
    selection.memory_limit_bytes = std::max<int64_t>(1, spec.memory_limit_bytes - data.bytes());
  }
  selection.check = check;
  return SelectWithoutTraining(SpecOf(spec).selector, features, SpecOf(spec).count, selection);
}

absl::StatusOr<std::vector<ChosenFeature>> DrawFor(const JobSpec& spec,
                                                   const FeatureLayer& features) {
  return SelectWithoutTraining(RandomFeaturesOptions{spec.task.seed}, features, SpecOf(spec).count,
                               SelectionData());
}

absl::Status CheckChosen(const std::vector<ChosenFeature>& chosen, const JobSpec& spec,
                         const FeatureLayer& features) {
  std::set<int64_t> seen;
  for (const ChosenFeature& choice : chosen) {
    const bool exists =
        choice.feature >= 0 && choice.feature < static_cast<int64_t>(features.features.size());
    if (exists && seen.insert(choice.feature).second) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint has chosen feature ", choice.feature, ", which is none, or ", "twice"));
  }
  if (static_cast<int64_t>(seen.size()) == SpecOf(spec).count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the checkpoint has chosen ", seen.size(), " features, not as many as the job"));
}

absl::Status NarrowToChosen(const std::vector<ChosenFeature>& chosen, const FeatureLayer& features,
                            uint64_t seed, Graph* graph, std::vector<std::string>* warnings) {
  std::vector<int64_t> rows;
  for (const ChosenFeature& choice : chosen) {
    const std::vector<int64_t>& of_feature = features.features[choice.feature].rows;
    rows.insert(rows.end(), of_feature.begin(), of_feature.end());
  }
  std::sort(rows.begin(), rows.end());
  ASSIGN_OR_RETURN(*graph, NarrowFeatures(*graph, features, rows));
  ASSIGN_OR_RETURN(const std::vector<std::string> kept, DrawFreshWeights(seed, graph));
  for (const std::string& name : kept) {
    warnings->push_back(absl::StrCat("the network on the chosen features starts with '", name,
                                     "' as given: there is no usual way to draw it"));
  }
  return absl::OkStatus();
}

FeatureSelectionReport DescribeSelection(const SelectionRecord& selection, const JobSpec& spec,
                                         const FeatureLayer& features, int64_t steps,
                                         const Dataset& train) {
  FeatureSelectionReport report;
  report.selector = std::string(SelectorName(SpecOf(spec).selector));
  report.candidates = static_cast<int64_t>(features.features.size());
  report.drawn_by_chance = spec.dry_run;
  report.steps = steps;
  report.metrics = selection.metrics;
  report.history = selection.history;
  for (const ChosenFeature& choice : selection.chosen) {
    const Feature& feature = features.features[choice.feature];
    SelectedFeatureReport selected;
    selected.group = feature.name;
    selected.input = features.inputs[feature.elements[0].input];
    for (const InputElement& element : feature.elements) selected.columns.push_back(element.index);
    selected.names = NamesOf(feature, train);
    selected.step = choice.step;
    selected.score = choice.score;
    report.features.push_back(std::move(selected));
  }
  return report;
}

}  // namespace topiary
