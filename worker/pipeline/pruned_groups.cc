#include "worker/pipeline/pruned_groups.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "worker/model/layers.h"

namespace topiary {
namespace {

// Scaled and coupled.
std::vector<const CandidatePart*> AllParts(const CandidateGroup& group) {
  std::vector<const CandidatePart*> parts;
  for (const absl::Span<const CandidatePart> some : {group.scaled(), group.coupled()}) {
    for (const CandidatePart& part : some) parts.push_back(&part);
  }
  return parts;
}

// Each once, in the order of the parts.
std::vector<std::string> WeightsOf(const CandidateGroup& group) {
  std::vector<std::string> weights;
  for (const CandidatePart* part : AllParts(group)) {
    if (std::find(weights.begin(), weights.end(), part->weight) == weights.end()) {
      weights.push_back(part->weight);
    }
  }
  return weights;
}

bool IsPruned(const GroupChoice& choice) {
  return choice.group != nullptr && choice.dense_reason.empty();
}

// Of ids x dimensions.
LayerReport DescribeTable(const Graph& graph, const std::string& name) {
  const Tensor& table = graph.FindInitializer(name)->value;
  LayerReport report;
  report.name = name;
  report.kind = "Gather";
  report.shape = table.shape();
  report.rows = table.shape()[0];
  report.cols = table.shape()[1];
  report.elements = table.element_count();
  const absl::Span<const float> values = table.span<float>();
  report.zero_elements = std::count(values.begin(), values.end(), 0.0F);
  report.pruned = true;
  report.dense_bytes = report.stored_bytes = report.elements * int64_t{sizeof(float)};
  return report;
}

}  // namespace

std::vector<PrunedGroup> PrunedGroupsOf(const Method& method) {
  std::vector<PrunedGroup> groups;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    const MethodLayer& layer = method.layers()[i];
    if (layer.group == nullptr) continue;
    groups.push_back({layer.group, method.support(static_cast<int>(i))});
  }
  return groups;
}

void ZeroPrunedGroups(const std::vector<PrunedGroup>& groups, Graph* graph) {
  for (const PrunedGroup& pruned : groups) {
    for (const CandidatePart* part : AllParts(*pruned.group)) {
      Tensor& value = graph->FindInitializer(part->weight)->value;
      ZeroPruned(*part, pruned.support, value.span<float>());
    }
  }
}

int64_t PrunedElements(const std::vector<PrunedGroup>& groups) {
  std::map<std::string, std::vector<bool>> gone;  // By weight.
  for (const PrunedGroup& pruned : groups) {
    for (const CandidatePart* part : AllParts(*pruned.group)) {
      if (!part->counted) continue;
      std::vector<bool>& of_weight = gone[part->weight];
      of_weight.resize(part->elements, false);
      for (const BlockRun& run : part->runs) {
        if (pruned.support[run.block] != 0) continue;
        for (int32_t i = 0; i < run.length; ++i) {
          of_weight[run.offset + int64_t{i} * run.stride] = true;
        }
      }
    }
  }
  int64_t count = 0;
  for (const auto& [weight, elements] : gone) {
    count += std::count(elements.begin(), elements.end(), true);
  }
  return count;
}

std::map<std::string, int64_t> TablesOf(const std::vector<GroupChoice>& choices,
                                        const Graph& graph) {
  std::map<std::string, int64_t> tables;
  for (const GroupChoice& choice : choices) {
    if (!IsPruned(choice)) continue;
    for (const CandidatePart* part : AllParts(*choice.group)) {
      if (part->counted) tables[part->weight] = part->elements;
    }
  }
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) tables.erase(layer.weight);
  return tables;
}

std::vector<GroupReport> DescribeGroups(const std::vector<GroupChoice>& choices,
                                        const std::vector<PrunedGroup>& pruned) {
  std::vector<GroupReport> reports;
  for (const GroupChoice& choice : choices) {
    GroupReport report;
    report.name = choice.name;
    report.dense_reason = choice.dense_reason;
    report.weights = choice.makers;
    if (choice.group != nullptr) {
      report.candidates = report.live = choice.group->count();
      report.weights = WeightsOf(*choice.group);
    }
    for (const PrunedGroup& group : pruned) {
      if (group.group != choice.group) continue;
      report.live = LiveBlocks(group.support);
      const std::vector<std::string>& names = group.group->candidate_names();
      for (size_t i = 0; i < names.size(); ++i) {
        if (group.support[i] == 0) report.pruned.push_back(names[i]);
      }
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

void DescribeLayersOfGroups(const Graph& graph, const std::vector<GroupChoice>& choices,
                            std::vector<LayerReport>* reports) {
  std::set<std::string> pruned;
  for (const GroupChoice& choice : choices) {
    if (!IsPruned(choice)) continue;
    for (const std::string& weight : WeightsOf(*choice.group)) pruned.insert(weight);
  }
  for (LayerReport& report : *reports) {
    report.pruned = pruned.count(report.name) > 0;
    if (!report.pruned) report.dense_reason = "no candidate that is pruned has a part of it";
  }
  for (const auto& [table, elements] : TablesOf(choices, graph)) {
    reports->push_back(DescribeTable(graph, table));
  }
}

std::vector<std::string> WarningsAboutGroups(const std::vector<GroupReport>& groups) {
  std::vector<std::string> warnings;
  for (const GroupReport& group : groups) {
    if (!group.dense_reason.empty() || group.live > 1 || group.candidates <= 1) continue;
    warnings.push_back(absl::StrCat("group '", group.name, "' keeps 1 of ", group.candidates,
                                    " candidates: lower the sparsity, or exclude it"));
  }
  return warnings;
}

}  // namespace topiary
