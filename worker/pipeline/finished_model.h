// From a training that has ended to the model that is exported.
#ifndef TOPIARY_WORKER_PIPELINE_FINISHED_MODEL_H_
#define TOPIARY_WORKER_PIPELINE_FINISHED_MODEL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/export/block_sparse_file.h"
#include "worker/export/report.h"
#include "worker/model/graph.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"

namespace topiary {

// The support of each layer of `method` that is cut in blocks, as the block-compressed file wants
// it.
std::vector<PrunedWeight> PrunedWeightsOf(const Method& method);

// Sets the blocks that `pruned` does not keep to +0 in the initializers of `graph`.
void ZeroPrunedBlocks(const std::vector<PrunedWeight>& pruned, Graph* graph);

// A copy of `graph` with the effective weights of `store` (scales folded in) and its running
// statistics; the blocks that `pruned` does not keep are +0 exactly (0 times a negative weight
// would be -0).
absl::StatusOr<Graph> FoldWeights(const Graph& graph, const ParameterStore& store,
                                  const std::vector<PrunedWeight>& pruned);

// One entry per Gemm, MatMul or Conv weight of `graph`. `choices` says what was to be pruned
// (empty: nothing), `pruned` what was.
std::vector<LayerReport> DescribeLayers(const Graph& graph, const std::vector<LayerChoice>& choices,
                                        const std::vector<PrunedWeight>& pruned);

// Adds the operations of each, as CountFlops() counts them, to descriptions of layers of `graph`.
absl::Status AddFlops(const Graph& graph, const std::vector<PrunedWeight>& pruned,
                      std::vector<LayerReport>* layers);

// What a reader of the report should know: layers left with one block, layers left dense.
std::vector<std::string> WarningsAbout(const std::vector<LayerReport>& layers,
                                       std::optional<double> requested);

// That the latency asked for was not reached, and which pruned layers are not sparse enough for
// that to be faster; empty where there is nothing of the kind to say.
std::string WarningAboutSpeed(const std::vector<LayerReport>& layers,
                              const std::optional<LatencyBudgetReport>& budget,
                              const LatencyReport& latency);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_FINISHED_MODEL_H_
