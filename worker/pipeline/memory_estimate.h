#ifndef TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_
#define TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/optimizer.h"
#include "worker/model/graph.h"

namespace topiary {

// About how many bytes a job needs, from shapes alone. Activations are counted once each, as
// training keeps them for the backward pass; what their gradients need beyond the memory that
// activations give up is not counted.
struct MemoryEstimate {
  int64_t data = 0;
  int64_t weights = 0;  // With gradients, optimizer state and effective weights.
  int64_t activations = 0;
  int64_t total() const { return data + weights + activations; }
};

// Of training `graph` at `batch`. Errors as InferShapes().
absl::StatusOr<MemoryEstimate> EstimateTrainingMemory(const Graph& graph, int64_t batch,
                                                      OptimizerKind optimizer, int64_t data_bytes);

// RESOURCE_EXHAUSTED, with the figures and a remedy, where `estimate` passes `limit_bytes` (0: no
// limit).
absl::Status CheckMemoryLimit(const MemoryEstimate& estimate, int64_t limit_bytes);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_
