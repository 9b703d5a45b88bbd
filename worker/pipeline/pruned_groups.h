// What pruning has done to groups of candidates.
#ifndef TOPIARY_WORKER_PIPELINE_PRUNED_GROUPS_H_
#define TOPIARY_WORKER_PIPELINE_PRUNED_GROUPS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "worker/export/report.h"
#include "worker/model/graph.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/group_choice.h"
#include "worker/prune/method.h"
#include "worker/prune/support.h"

namespace topiary {

struct PrunedGroup {
  std::shared_ptr<const CandidateGroup> group;
  Support support;  // By candidate.
};

// Of each layer of `method` that is a group.
std::vector<PrunedGroup> PrunedGroupsOf(const Method& method);

// Sets all elements of pruned candidates, scaled or coupled, to +0 in the initializers of `graph`.
void ZeroPrunedGroups(const std::vector<PrunedGroup>& groups, Graph* graph);

// How many counted elements pruned candidates have: one that two of them have counts once.
int64_t PrunedElements(const std::vector<PrunedGroup>& groups);

// Elements of the weights that are no weights of a Gemm, MatMul or Conv, but of which groups that
// are pruned have counted elements: embedding tables, by name.
std::map<std::string, int64_t> TablesOf(const std::vector<GroupChoice>& choices,
                                        const Graph& graph);

// One entry per choice. `pruned` says what became of those that were pruned.
std::vector<GroupReport> DescribeGroups(const std::vector<GroupChoice>& choices,
                                        const std::vector<PrunedGroup>& pruned);

// Says of each layer of `graph` in `reports` whether groups that were pruned have a part of it, and
// adds an entry for each of their tables.
void DescribeLayersOfGroups(const Graph& graph, const std::vector<GroupChoice>& choices,
                            std::vector<LayerReport>* reports);

// That a group keeps one candidate alone.
std::vector<std::string> WarningsAboutGroups(const std::vector<GroupReport>& groups);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_PRUNED_GROUPS_H_
