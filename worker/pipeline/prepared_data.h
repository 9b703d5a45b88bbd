// A job's examples: read, split, scaled and checked against the model.
#ifndef TOPIARY_WORKER_PIPELINE_PREPARED_DATA_H_
#define TOPIARY_WORKER_PIPELINE_PREPARED_DATA_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"

namespace topiary {

// What `graph` under `loss` expects of its examples. INVALID_ARGUMENT where the model has not one
// output, or the output does not fit the loss; UNIMPLEMENTED for an operator that is not supported
// and for inputs that are neither float32 nor int64. The message names input, output or node.
absl::StatusOr<DataRequirements> RequirementsOf(const Graph& graph, LossSpec loss);

struct PreparedData {
  Dataset train;
  Dataset evaluation;
  int64_t bytes() const;
};

// Reads what `spec` says. Without evaluation data a part of the training data is held out, drawn by
// `seed`. Normalization is fitted on the examples that are trained on. At most `memory_limit_bytes`
// (0: the readers' own limit) are read from each file: RESOURCE_EXHAUSTED beyond. INVALID_ARGUMENT,
// naming the part of the spec, the file, the array and the row, for data that does not fit. `check`
// is asked before and after each file of examples; an error from it ends the reading.
absl::StatusOr<PreparedData> PrepareData(const DataSpec& spec, LossSpec loss, uint64_t seed,
                                         const DataRequirements& requirements,
                                         int64_t memory_limit_bytes,
                                         const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_PREPARED_DATA_H_
