#include "worker/prune/whole_candidates.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/residual_branches.h"
#include "worker/model/weight_operands.h"
#include "worker/prune/block_runs.h"

namespace topiary {
namespace {

class BranchFinder {
 public:
  BranchFinder(const Graph& graph, const InferredGraph& inferred)
      : graph_(graph),
        operands_(graph, inferred),
        branches_(FindResidualBranches(graph, inferred)) {
    for (const int index : inferred.live_nodes) {
      if (const auto operand = operands_.Of(graph.nodes[index])) matrices_.insert(operand->weight);
    }
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      const Node& node = graph.nodes[i];
      if (operands_.IsTransposition(node.output(0))) continue;
      for (const std::string& input : node.inputs) {
        const std::string& weight = operands_.Behind(input);
        if (matrices_.count(weight) > 0) readers_[weight].push_back(static_cast<int>(i));
      }
    }
  }

  std::vector<WholeCandidate> Branches() const {
    std::vector<WholeCandidate> candidates;
    for (const ResidualBranch& branch : branches_) {
      candidates.emplace_back();
      Append(branch, &candidates.back());
    }
    EachWeightOnce(&candidates);
    return candidates;
  }

  std::vector<WholeCandidate> Layers() const {
    std::vector<WholeCandidate> layers;
    bool attended = true;  // Whether the branch before did; what comes before any is no layer.
    for (const ResidualBranch& branch : branches_) {
      if (branch.attends && (layers.empty() || !attended)) layers.emplace_back();
      attended = branch.attends;
      if (!layers.empty()) Append(branch, &layers.back());
    }
    EachWeightOnce(&layers);
    return layers;
  }

 private:
  CandidatePart WholeOf(const std::string& weight) const {
    const Shape& shape = graph_.FindInitializer(weight)->value.shape();
    CandidatePart part;
    part.weight = weight;
    part.elements = shape.element_count();
    part.runs = RunsOfSlices(Shape({1, part.elements}), 0, {0});
    part.counted = matrices_.count(weight) > 0;
    return part;
  }

  static void EachWeightOnce(std::vector<WholeCandidate>* candidates) {
    for (WholeCandidate& candidate : *candidates) {
      for (std::vector<CandidatePart>* parts : {&candidate.scaled, &candidate.coupled}) {
        std::set<std::string> seen;
        parts->erase(std::remove_if(parts->begin(), parts->end(),
                                    [&](const CandidatePart& part) {
                                      return !seen.insert(part.weight).second;
                                    }),
                     parts->end());
      }
    }
  }

  void Append(const ResidualBranch& branch, WholeCandidate* candidate) const {
    for (const std::string& weight : branch.last) candidate->scaled.push_back(WholeOf(weight));
    for (const int index : branch.nodes) {
      const Node& node = graph_.nodes[index];
      const auto operand = operands_.Of(node);
      if (!operand.has_value()) continue;
      candidate->makers.push_back({operand->weight, node.name, 0});
      if (UsedWithin(operand->weight, branch)) {
        candidate->coupled.push_back(WholeOf(operand->weight));
      }
    }
    if (!branch.reason.empty()) candidate->reason = branch.reason;
    const std::string name =
        candidate->makers.empty() ? branch.output : candidate->makers.back().weight;
    candidate->name = name;
  }

  // Whether no node outside of the branch reads `weight`.
  bool UsedWithin(const std::string& weight, const ResidualBranch& branch) const {
    const std::vector<int>& readers = readers_.at(weight);
    return std::all_of(readers.begin(), readers.end(), [&](int reader) {
      return std::binary_search(branch.nodes.begin(), branch.nodes.end(), reader);
    });
  }

  const Graph& graph_;
  const WeightOperands operands_;
  const std::vector<ResidualBranch> branches_;
  std::set<std::string> matrices_;                   // Weights of layers.
  std::map<std::string, std::vector<int>> readers_;  // The nodes that read them.
};

std::vector<CandidatePart> AsOne(absl::Span<const CandidatePart> parts) {
  std::vector<CandidatePart> one(parts.begin(), parts.end());
  for (CandidatePart& part : one) {
    for (BlockRun& run : part.runs) run.block = 0;
    SortAndJoin(&part.runs);
  }
  return one;
}

int64_t ElementsOf(const CandidatePart& part) {
  int64_t count = 0;
  for (const BlockRun& run : part.runs) count += run.length;
  return count;
}

std::set<std::string> LookedUp(const Graph& graph) {
  std::set<std::string> names;
  for (const Node& node : graph.nodes) {
    if (node.op_type == "Gather") names.insert(node.input(0));
  }
  return names;
}

// Of the first of `makers`, whose results are added up, that is looked up.
std::string NameOfTable(const std::vector<WeightAxis>& makers,
                        const std::set<std::string>& looked_up) {
  const auto found = std::find_if(makers.begin(), makers.end(), [&](const WeightAxis& maker) {
    return looked_up.count(maker.weight) > 0;
  });
  return found == makers.end() ? makers[0].weight : found->weight;
}

absl::StatusOr<std::vector<WholeCandidate>> Tables(const Graph& graph,
                                                   const InferredGraph& inferred,
                                                   const std::set<std::string>& trainable,
                                                   std::optional<int64_t> memory_bytes,
                                                   const std::function<absl::Status()>& check) {
  std::vector<WholeCandidate> tables;
  ASSIGN_OR_RETURN(const std::vector<FoundGroup> groups,
                   FindChannelCandidates(graph, inferred, trainable,
                                         Structure::kEmbeddingDimensions, memory_bytes, check));
  const std::set<std::string> looked_up = LookedUp(graph);
  for (const FoundGroup& found : groups) {
    WholeCandidate table;
    table.name = NameOfTable(found.makers, looked_up);
    table.makers = found.makers;
    table.reason = found.reason;
    if (found.group != nullptr) {
      table.scaled = AsOne(found.group->scaled());
      table.coupled = AsOne(found.group->coupled());
      for (const CandidatePart& part : table.coupled) {
        if (ElementsOf(part) == part.elements) continue;
        table.reason = absl::StrCat("some columns of '", part.weight, "' must stay");
      }
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

// The elements of all candidates, by weight.
std::vector<CandidatePart> Merged(const std::vector<WholeCandidate>& candidates,
                                  std::vector<CandidatePart> WholeCandidate::*parts) {
  std::vector<CandidatePart> all;
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < candidates.size(); ++i) {
    for (const CandidatePart& part : candidates[i].*parts) {
      const auto [place, added] = places.try_emplace(part.weight, all.size());
      if (added) all.push_back({part.weight, part.elements, {}, part.counted});
      for (BlockRun run : part.runs) {
        run.block = static_cast<int32_t>(i);
        all[place->second].runs.push_back(run);
      }
    }
  }
  for (CandidatePart& part : all) SortAndJoin(&part.runs);
  return all;
}

}  // namespace

absl::StatusOr<std::vector<WholeCandidate>> FindWholeCandidates(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    Structure structure, std::optional<int64_t> memory_bytes,
    const std::function<absl::Status()>& check) {
  switch (structure) {
    case Structure::kBranches:
      return BranchFinder(graph, inferred).Branches();
    case Structure::kTransformerLayers:
      return BranchFinder(graph, inferred).Layers();
    case Structure::kEmbeddingTables:
      return Tables(graph, inferred, trainable, memory_bytes, check);
    default:
      return std::vector<WholeCandidate>();
  }
}

CandidateGroup GroupOf(const std::string& name, const std::vector<WholeCandidate>& candidates) {
  std::vector<std::string> names;
  for (const WholeCandidate& candidate : candidates) names.push_back(candidate.name);
  return CandidateGroup(name, static_cast<int64_t>(candidates.size()),
                        Merged(candidates, &WholeCandidate::scaled),
                        Merged(candidates, &WholeCandidate::coupled), std::move(names));
}

}  // namespace topiary
