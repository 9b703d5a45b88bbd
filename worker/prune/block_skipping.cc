#include "worker/prune/block_skipping.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"

namespace topiary {

absl::StatusOr<std::map<std::string, LayerWork>> WorkOfLayers(
    const Graph& graph, int64_t batch, LayerUse use,
    const std::map<std::string, BlockShape>& blocks) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, batch));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  std::map<std::string, LayerWork> work;
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    const auto block = blocks.find(layer.weight);
    if (block == blocks.end()) continue;
    ASSIGN_OR_RETURN(std::optional<LayerWork> of_layer,
                     WorkOf(graph, inferred, layer, use, block->second.rows, block->second.cols));
    if (of_layer.has_value()) work.emplace(layer.weight, *std::move(of_layer));
  }
  return work;
}

absl::StatusOr<std::map<std::string, LayerCost>> CostsOf(
    const std::map<std::string, LayerWork>& work, LayerCostSource* source, Backend* backend,
    const CostCheck& check) {
  std::vector<LayerWork> list;
  list.reserve(work.size());
  for (const auto& [weight, of_layer] : work) list.push_back(of_layer);
  ASSIGN_OR_RETURN(std::vector<LayerCost> costs, source->Costs(list, backend, check));
  std::map<std::string, LayerCost> by_weight;
  size_t i = 0;
  for (const auto& [weight, of_layer] : work) by_weight.emplace(weight, std::move(costs[i++]));
  return by_weight;
}

BreakEvenDensities BreakEvensOf(const std::map<std::string, LayerCost>& costs) {
  BreakEvenDensities densities;
  for (const auto& [weight, cost] : costs) densities.emplace(weight, cost.BreakEvenDensity());
  return densities;
}

absl::StatusOr<std::map<std::string, LayerCost>> InferenceCosts(
    const Graph& graph, const std::map<std::string, BlockShape>& blocks,
    const InferenceOptions& options, LayerCostSource* source, Backend* backend,
    const CostCheck& check) {
  ASSIGN_OR_RETURN(const BatchParts parts,
                   InferenceProgram::PartsOf(graph, options, backend->info().threads));
  ASSIGN_OR_RETURN(const auto work,
                   WorkOfLayers(graph, parts.examples, LayerUse::kInference, blocks));
  const std::unique_ptr<Backend> of_lane = parts.OwnBackendOfALane(*backend);
  ASSIGN_OR_RETURN(auto costs,
                   CostsOf(work, source, of_lane == nullptr ? backend : of_lane.get(), check));
  const auto runs = static_cast<double>(parts.parts_of_a_lane());
  for (auto& [weight, cost] : costs) {
    cost.dense_seconds *= runs;
    for (LayerCost::Point& point : cost.sparse) point.seconds *= runs;
  }
  return costs;
}

absl::StatusOr<BreakEvenDensities> InferenceBreakEvens(const Graph& graph,
                                                       const SparseWeights& kept,
                                                       const InferenceOptions& options,
                                                       LayerCostSource* source, Backend* backend,
                                                       const CostCheck& check) {
  std::map<std::string, BlockShape> blocks;
  for (const auto& [weight, pattern] : kept) {
    blocks[weight] = {pattern->block_rows, pattern->block_cols};
  }
  ASSIGN_OR_RETURN(const auto costs,
                   InferenceCosts(graph, blocks, options, source, backend, check));
  return BreakEvensOf(costs);
}

std::shared_ptr<const BlockSparsePattern> PatternOf(const BlockPartition& partition,
                                                    const Support& support) {
  const PrunableLayer& layer = partition.layer();
  absl::StatusOr<BlockSparsePattern> pattern =
      BlockSparsePattern::Create(layer.rows, layer.cols, partition.block().rows,
                                 partition.block().cols, support, layer.groups);
  CHECK_OK(pattern.status()) << layer.weight;  // A partition has fewer than 2^31 blocks.
  return std::make_shared<const BlockSparsePattern>(*std::move(pattern));
}

SparseWeights KeptBlocksOf(const Method& method) {
  SparseWeights weights;
  for (size_t i = 0; i < method.layers().size(); ++i) {
    if (method.layers()[i].partition == nullptr) continue;  // A group has no blocks to leave out.
    const BlockPartition& partition = *method.layers()[i].partition;
    weights[partition.layer().weight] = PatternOf(partition, method.support(static_cast<int>(i)));
  }
  return weights;
}

SparseWeights WorthSkipping(const SparseWeights& weights, const BreakEvenDensities& break_evens) {
  SparseWeights worth;
  for (const auto& [weight, pattern] : weights) {
    const auto found = break_evens.find(weight);
    if (found == break_evens.end()) continue;
    const double density =
        static_cast<double>(pattern->kept_elements()) / static_cast<double>(pattern->elements());
    if (density <= found->second) worth.emplace(weight, pattern);
  }
  return worth;
}

}  // namespace topiary
