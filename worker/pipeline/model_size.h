// How large a model is, in the amounts that budgets are given in.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PIPELINE_MODEL_SIZE_H_
#define TOPIARY_WORKER_PIPELINE_MODEL_SIZE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/export/block_sparse_file.h"
#include "worker/export/report.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"
#include "worker/prune/block_partition.h"

namespace topiary {

// Numbers in float32 initializers: weights, biases, statistics.
int64_t ParametersOf(const Graph& graph);

// Of `graph`, whose weights in `pruned` keep the blocks of their support. Parameters: as
// ParametersOf(), but those of pruned blocks. Bytes: of
// model.safetensors, to the byte. Operations: see CountFlops(), without pruned blocks.
// Errors as InferShapes(), InferenceForm() and WriteBlockSparseFile().
absl::StatusOr<ModelSize> MeasureSize(const Graph& graph, absl::Span<const PrunedWeight> pruned);

// Of `graph` as an ONNX file, which is dense. Errors as CountFlops().
absl::StatusOr<ModelSize> SizeOfOnnx(const Graph& graph);

// The same in one amount.
absl::StatusOr<int64_t> AmountOfOnnx(const Graph& graph, SizeBudgetSpec::Amount amount);

int64_t AmountOf(const ModelSize& size, SizeBudgetSpec::Amount amount);

// "parameters", "bytes" or "flops": the field of the target.
absl::string_view AmountName(SizeBudgetSpec::Amount amount);

// What a budget allows a model that comes to `dense` without pruning.
int64_t RequestedAmount(const SizeBudgetSpec& budget, int64_t dense);

// What the blocks that layers keep come to in one amount.
struct SizeCosts {
  double dense = 0;  // Of the whole model, nothing pruned.
  double rest = 0;   // Of everything but the layers: at most, where it depends on them.
  // By layer: what it comes to with so many blocks. Where blocks differ in size, the largest are
  // taken for kept, so that it is never less than what training ends with.
  std::vector<std::function<double(int64_t kept)>> layers;
};

// With the partitions of all layers to prune. `dense_layers_are_whole`: a layer that keeps all its
// blocks is stored as if it were not pruned.
absl::StatusOr<SizeCosts> SizeCostsIn(
    SizeBudgetSpec::Amount amount, const Graph& graph,
    const std::vector<std::shared_ptr<const BlockPartition>>& partitions,
    bool dense_layers_are_whole);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_MODEL_SIZE_H_
