#include "worker/pipeline/finished_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/flops.h"
#include "worker/model/layers.h"

namespace topiary {
namespace {

const LayerChoice* FindChoice(const std::vector<LayerChoice>& choices, const std::string& weight) {
  for (const LayerChoice& choice : choices) {
    if (choice.layer.weight == weight) return &choice;
  }
  return nullptr;
}

const PrunedWeight* FindPruned(const std::vector<PrunedWeight>& pruned, const std::string& weight) {
  for (const PrunedWeight& candidate : pruned) {
    if (candidate.partition->layer().weight == weight) return &candidate;
  }
  return nullptr;
}

LayerReport DescribeLayer(const Graph& graph, const PrunableLayer& layer) {
  LayerReport report;
  report.name = layer.weight;
  report.node = layer.node_name;
  report.kind = LayerKindName(layer.kind);
  report.shape = layer.shape;
  report.groups = layer.groups;
  report.rows = layer.rows;
  report.cols = layer.cols;
  report.elements = layer.element_count();
  const absl::Span<const float> values = graph.FindInitializer(layer.weight)->value.span<float>();
  report.zero_elements = std::count(values.begin(), values.end(), 0.0F);
  report.dense_bytes = report.elements * int64_t{sizeof(float)};
  report.stored_bytes = report.dense_bytes;
  return report;
}

}  // namespace

std::vector<PrunedWeight> PrunedWeightsOf(const Method& method) {
  std::vector<PrunedWeight> pruned;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    if (method.layers()[i].group != nullptr) continue;
    pruned.push_back({method.layers()[i].partition, method.support(static_cast<int>(i))});
  }
  return pruned;
}

void ZeroPrunedBlocks(const std::vector<PrunedWeight>& pruned, Graph* graph) {
  for (const PrunedWeight& weight : pruned) {
    Tensor& value = graph->FindInitializer(weight.partition->layer().weight)->value;
    weight.partition->ZeroPruned(weight.support, value.span<float>());
  }
}

absl::StatusOr<Graph> FoldWeights(const Graph& graph, const ParameterStore& store,
                                  const std::vector<PrunedWeight>& pruned) {
  Graph folded = graph.Clone();
  RETURN_IF_ERROR(store.WriteTo(&folded));
  ZeroPrunedBlocks(pruned, &folded);
  return folded;
}

std::vector<LayerReport> DescribeLayers(const Graph& graph, const std::vector<LayerChoice>& choices,
                                        const std::vector<PrunedWeight>& pruned) {
  std::vector<LayerReport> reports;
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    LayerReport report = DescribeLayer(graph, layer);
    if (const LayerChoice* choice = FindChoice(choices, layer.weight)) {
      report.blocks_total = choice->block_count;
      report.blocks_live = choice->block_count;
      report.dense_reason = choice->dense_reason;
    }
    if (const PrunedWeight* weight = FindPruned(pruned, layer.weight)) {
      report.pruned = true;
      report.blocks_live = LiveBlocks(weight->support);
      report.stored_bytes = StoredBytes(*weight->partition, report.blocks_live);
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

absl::Status AddFlops(const Graph& graph, const std::vector<PrunedWeight>& pruned,
                      std::vector<LayerReport>* layers) {
  ASSIGN_OR_RETURN(const Flops flops, CountFlops(graph));
  for (LayerReport& layer : *layers) {
    const auto found = flops.per_element.find(layer.name);
    if (found == flops.per_element.end()) continue;
    int64_t kept = layer.elements;
    if (const PrunedWeight* weight = FindPruned(pruned, layer.name)) {
      kept -= weight->partition->ElementsPruned(weight->support);
    }
    layer.flops.emplace(WholeFlops(found->second * static_cast<double>(layer.elements)),
                        WholeFlops(found->second * static_cast<double>(kept)));
  }
  return absl::OkStatus();
}

std::vector<std::string> WarningsAbout(const std::vector<LayerReport>& layers,
                                       std::optional<double> requested) {
  std::vector<std::string> warnings;
  for (const LayerReport& layer : layers) {
    if (layer.pruned && layer.blocks_live <= 1 && layer.blocks_total > 1) {
      warnings.push_back(absl::StrCat("layer '", layer.name, "' keeps ", layer.blocks_live, " of ",
                                      layer.blocks_total,
                                      " blocks: it may cut the network; use smaller blocks, a "
                                      "lower sparsity, or exclude the layer"));
    }
  }
  const double reached = SparsityReached(layers);
  if (requested.has_value() && *requested - reached > 0.02) {
    warnings.push_back(absl::StrFormat(
        "sparsity reached is %.3f, %.3f was requested: layers that stay dense are not made up for; "
        "lower target.min_blocks or use smaller blocks to prune them",
        reached, *requested));
  }
  return warnings;
}

std::string WarningAboutSpeed(const std::vector<LayerReport>& layers,
                              const std::optional<LatencyBudgetReport>& budget,
                              const LatencyReport& latency) {
  std::string warning;
  if (budget.has_value() && budget->batch == latency.batch) {
    const double ratio =
        latency.block_sparse.has_value() ? latency.block_sparse->p50 / latency.dense.p50 : 1;
    if (ratio > budget->ratio) {
      warning = absl::StrFormat(
          "at batch %d the model takes %.1f %% of its dense time, %.1f %% was asked for; ",
          latency.batch, 100 * ratio, 100 * budget->ratio);
    }
  }
  constexpr int kMostNamed = 3;
  int pruned = 0, slow = 0;
  std::string names;
  for (const LayerReport& layer : layers) {
    const auto found = latency.break_even_sparsity.find(layer.name);
    if (!layer.pruned || found == latency.break_even_sparsity.end()) continue;
    ++pruned;
    // Both are quotients of whole numbers: a hair below is at.
    if (layer.sparsity() > found->second - 1e-9 || ++slow > kMostNamed) continue;
    absl::StrAppendFormat(&names, "%s'%s' (%.0f %%, ", slow == 1 ? "" : ", ", layer.name,
                          100 * layer.sparsity());
    absl::StrAppend(&names, found->second < 1
                                ? absl::StrFormat("pays from %.0f %%)", 100 * found->second)
                                : "never pays)");
  }
  if (slow == 0) return warning.substr(0, warning.empty() ? 0 : warning.size() - 2);
  absl::StrAppendFormat(
      &warning,
      "at batch %d leaving out pruned blocks is not faster on this machine for %d of %d pruned "
      "layers: %s%s; prune them further, use larger blocks, or exclude them",
      latency.batch, slow, pruned, names, slow > kMostNamed ? ", ..." : "");
  return warning;
}

}  // namespace topiary
