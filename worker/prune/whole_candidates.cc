#include "worker/prune/whole_candidates.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
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
  }

  std::vector<WholeCandidate> Branches() const {
    std::vector<WholeCandidate> candidates;
    for (const ResidualBranch& branch : branches_) {
      candidates.emplace_back();
      Append(branch, &candidates.back());
    }
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

  static void AddOnce(CandidatePart part, std::vector<CandidatePart>* parts) {
    const bool known = std::any_of(parts->begin(), parts->end(), [&](const CandidatePart& other) {
      return other.weight == part.weight;
    });
    if (!known) parts->push_back(std::move(part));
  }

  void Append(const ResidualBranch& branch, WholeCandidate* candidate) const {
    for (const std::string& weight : branch.last) AddOnce(WholeOf(weight), &candidate->scaled);
    for (const int index : branch.nodes) {
      const Node& node = graph_.nodes[index];
      const auto operand = operands_.Of(node);
      if (!operand.has_value()) continue;
      candidate->makers.push_back({operand->weight, node.name, 0});
      if (UsedWithin(operand->weight, branch)) {
        AddOnce(WholeOf(operand->weight), &candidate->coupled);
      }
    }
    if (!branch.reason.empty()) candidate->reason = branch.reason;
    const std::string name =
        candidate->makers.empty() ? branch.output : candidate->makers.back().weight;
    candidate->name = name;
  }

  // Whether no node outside of the branch reads `weight`.
  bool UsedWithin(const std::string& weight, const ResidualBranch& branch) const {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      const bool reads =
          std::any_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& input) {
            return operands_.Behind(input) == weight && !operands_.IsTransposition(node.output(0));
          });
      const bool within =
          std::binary_search(branch.nodes.begin(), branch.nodes.end(), static_cast<int>(i));
      if (reads && !within) return false;
    }
    return true;
  }

  const Graph& graph_;
  const WeightOperands operands_;
  const std::vector<ResidualBranch> branches_;
  std::set<std::string> matrices_;  // Weights of layers.
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

std::vector<WholeCandidate> Tables(const Graph& graph, const InferredGraph& inferred,
                                   const std::set<std::string>& trainable) {
  std::vector<WholeCandidate> tables;
  for (const FoundGroup& found :
       FindChannelCandidates(graph, inferred, trainable, Structure::kEmbeddingDimensions)) {
    WholeCandidate table;
    table.name = found.makers[0].weight;
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

// Adds the elements of candidate `number` to those of others.
void Merge(const std::vector<CandidatePart>& parts, int32_t number,
           std::vector<CandidatePart>* all) {
  for (const CandidatePart& part : parts) {
    auto of_weight = std::find_if(all->begin(), all->end(), [&](const CandidatePart& other) {
      return other.weight == part.weight;
    });
    if (of_weight == all->end()) {
      all->push_back({part.weight, part.elements, {}, part.counted});
      of_weight = all->end() - 1;
    }
    for (BlockRun run : part.runs) {
      run.block = number;
      of_weight->runs.push_back(run);
    }
  }
}

}  // namespace

std::vector<WholeCandidate> FindWholeCandidates(const Graph& graph, const InferredGraph& inferred,
                                                const std::set<std::string>& trainable,
                                                Structure structure) {
  switch (structure) {
    case Structure::kBranches:
      return BranchFinder(graph, inferred).Branches();
    case Structure::kTransformerLayers:
      return BranchFinder(graph, inferred).Layers();
    case Structure::kEmbeddingTables:
      return Tables(graph, inferred, trainable);
    default:
      return {};
  }
}

CandidateGroup GroupOf(const std::string& name, const std::vector<WholeCandidate>& candidates) {
  std::vector<CandidatePart> scaled, coupled;
  std::vector<std::string> names;
  for (size_t i = 0; i < candidates.size(); ++i) {
    Merge(candidates[i].scaled, static_cast<int32_t>(i), &scaled);
    Merge(candidates[i].coupled, static_cast<int32_t>(i), &coupled);
    names.push_back(candidates[i].name);
  }
  for (std::vector<CandidatePart>* parts : {&scaled, &coupled}) {
    for (CandidatePart& part : *parts) SortAndJoin(&part.runs);
  }
  return CandidateGroup(name, static_cast<int64_t>(candidates.size()), std::move(scaled),
                        std::move(coupled), std::move(names));
}

}  // namespace topiary
