#ifndef TOPIARY_WORKER_PIPELINE_JOB_LATENCIES_H_
#define TOPIARY_WORKER_PIPELINE_JOB_LATENCIES_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/program.h"
#include "worker/export/report.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"

namespace topiary {

struct JobLatencies {
  std::vector<LatencyReport> measured;
  std::vector<std::string> warnings;  // Of batches that could not be measured.
};

// Times the graph of `job`, of whose pruned weights it has the blocks in `kept`, and the narrower
// one that was made of it, if any, at each batch that `spec` names. Of the errors of
// MeasureLatency() only CANCELLED and ABORTED end it: what was trained must not be lost for others.
absl::StatusOr<JobLatencies> MeasureLatencies(const JobSpec& spec, const LoadedJob& job,
                                              const SparseWeights& kept, const Graph* shrunk,
                                              LayerCostSource* costs, Backend* backend,
                                              const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_JOB_LATENCIES_H_
