// Where it pays to leave the pruned blocks of a weight out of products: where fewer blocks are kept
// than the break-even density that was measured on this very machine.
#ifndef TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_
#define TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/engine/inference_program.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/model/graph.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/method.h"
#include "worker/prune/support.h"

namespace topiary {

// What kernels do at `batch` with each layer of `graph` that is cut in the blocks that `blocks` has
// for its weight, by weight; without those of which they cannot leave out blocks. Errors as those
// of shape inference.
absl::StatusOr<std::map<std::string, LayerWork>> WorkOfLayers(
    const Graph& graph, int64_t batch, LayerUse use,
    const std::map<std::string, BlockShape>& blocks);

// What `work` costs, by weight. Errors as LayerCostSource::Costs().
absl::StatusOr<std::map<std::string, LayerCost>> CostsOf(
    const std::map<std::string, LayerWork>& work, LayerCostSource* source, Backend* backend,
    const CostCheck& check);

// By weight: the density at and below which leaving blocks out is faster than a dense product; 0:
// never. A weight without an entry is multiplied as if it were dense.
using BreakEvenDensities = std::map<std::string, double>;

BreakEvenDensities BreakEvensOf(const std::map<std::string, LayerCost>& costs);

// What a pass of a program of `options` spends on the layers of `graph` that have blocks in
// `blocks`, by weight: for the whole batch, in however many parts it is taken. Errors as
// InferenceProgram::PartsOf() and CostsOf().
absl::StatusOr<std::map<std::string, LayerCost>> InferenceCosts(
    const Graph& graph, const std::map<std::string, BlockShape>& blocks,
    const InferenceOptions& options, LayerCostSource* source, Backend* backend,
    const CostCheck& check);

// Of the layers of `graph` that `kept` has blocks of. Errors as InferenceCosts().
absl::StatusOr<BreakEvenDensities> InferenceBreakEvens(const Graph& graph,
                                                       const SparseWeights& kept,
                                                       const InferenceOptions& options,
                                                       LayerCostSource* source, Backend* backend,
                                                       const CostCheck& check);

// The blocks of a partitioned weight that `support` keeps.
std::shared_ptr<const BlockSparsePattern> PatternOf(const BlockPartition& partition,
                                                    const Support& support);

// The blocks of each layer of `method` that it keeps at the moment. Layers that are groups have
// none.
SparseWeights KeptBlocksOf(const Method& method);

// Those of `weights` that keep no more than their break-even density.
SparseWeights WorthSkipping(const SparseWeights& weights, const BreakEvenDensities& break_evens);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_BLOCK_SKIPPING_H_
