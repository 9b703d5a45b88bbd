#ifndef TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_
#define TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/optimizer.h"
#include "worker/model/graph.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/candidate_group.h"

namespace topiary {

// About how many bytes a job needs, from shapes alone.
struct MemoryEstimate {
  int64_t data = 0;
  int64_t weights = 0;  // With gradients, optimizer state and effective weights.
  int64_t blocks = 0;   // What pruning keeps per block: it counts where blocks are tiny.
  // The copy of weights and optimizer state that is made to write a checkpoint.
  int64_t checkpoint = 0;
  // Training keeps each for the backward pass; what their gradients need beyond the memory that
  // activations give up is not counted. Inference keeps what the largest node reads and writes.
  int64_t activations = 0;
  int64_t predictions = 0;  // With the copies made to write them.
  // Examples drawn, moments of what a layer reads, and what is made of them.
  int64_t calibration = 0;
  int64_t selection = 0;  // Of what chooses features.
  int64_t total() const {
    return data + weights + blocks + checkpoint + activations + predictions + calibration +
           selection;
  }
};

struct MemoryNeeds {
  int64_t batch = 1;
  std::optional<OptimizerKind> optimizer;  // None: the job evaluates and does not train.
  int64_t data_bytes = 0;
  std::vector<std::shared_ptr<const BlockPartition>> partitions;   // Of the layers to prune.
  int64_t prediction_bytes = 0;                                    // Of those that the job returns.
  std::vector<std::shared_ptr<const CandidateGroup>> groups = {};  // To prune.
  bool teacher = false;           // The model as given runs beside the one that is trained.
  int64_t calibration_bytes = 0;  // CalibrationBytes(), and of the examples drawn.
  int64_t selector_bytes = 0;     // SelectorBytes().
  bool keeps_a_model = false;     // That of an earlier step, for an accuracy bound.
  int threads = 1;                // Each sums gradients by block for itself.
  bool clips_gradients = false;
  bool rewinds = false;  // To the weights of an earlier step, which are kept until then.
};

// Of all initializers of `graph`.
int64_t WeightBytes(const Graph& graph);

// Errors as InferShapes().
absl::StatusOr<MemoryEstimate> EstimateMemory(const Graph& graph, const MemoryNeeds& needs);

// RESOURCE_EXHAUSTED, with the figures and a remedy, where `estimate` passes `limit_bytes` (0: no
// limit).
absl::Status CheckMemoryLimit(const MemoryEstimate& estimate, int64_t limit_bytes);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_MEMORY_ESTIMATE_H_
