#include "worker/pipeline/memory_estimate.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

std::string Mebibytes(int64_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

// Raw and effective weights, gradient, and the moments.
int64_t CopiesOfWeights(OptimizerKind optimizer) {
  return optimizer == OptimizerKind::kSgd ? 4 : 5;
}

}  // namespace

absl::StatusOr<MemoryEstimate> EstimateTrainingMemory(const Graph& graph, int64_t batch,
                                                      OptimizerKind optimizer, int64_t data_bytes) {
  ASSIGN_OR_RETURN(const auto input_shapes, InputShapesForBatch(graph, batch));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, input_shapes));
  MemoryEstimate estimate;
  estimate.data = data_bytes;
  for (const Initializer& initializer : graph.initializers) {
    estimate.weights +=
        static_cast<int64_t>(initializer.value.byte_size()) * CopiesOfWeights(optimizer);
  }
  for (const int node : inferred.live_nodes) {
    for (const std::string& output : graph.nodes[node].outputs) {
      const auto value = inferred.values.find(output);
      if (value == inferred.values.end()) continue;
      estimate.activations +=
          value->second.shape.element_count() * static_cast<int64_t>(SizeOf(value->second.dtype));
    }
  }
  return estimate;
}

absl::Status CheckMemoryLimit(const MemoryEstimate& estimate, int64_t limit_bytes) {
  if (limit_bytes == 0 || estimate.total() <= limit_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the job needs about ", Mebibytes(estimate.total()), " (examples ", Mebibytes(estimate.data),
      ", weights and optimizer ", Mebibytes(estimate.weights), ", activations ",
      Mebibytes(estimate.activations), "), more than the ", Mebibytes(limit_bytes),
      " it may use: lower spec.task.batch_size, use less data, or a worker with more memory "
      "(spec.placement.memory_bytes)"));
}

}  // namespace topiary
