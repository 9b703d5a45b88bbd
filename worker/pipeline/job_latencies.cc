#include "worker/pipeline/job_latencies.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "worker/pipeline/latency.h"

namespace topiary {

absl::StatusOr<JobLatencies> MeasureLatencies(const JobSpec& spec, const LoadedJob& job,
                                              const SparseWeights& kept, const Graph* shrunk,
                                              LayerCostSource* costs, Backend* backend,
                                              const std::function<absl::Status()>& check) {
  JobLatencies latencies;
  const auto measure = [&](int64_t batch) -> absl::StatusOr<LatencyReport> {
    RETURN_IF_ERROR(
        CheckLatencyMemory(spec, job.graph, job.data.bytes(), batch, kept.empty() ? 1 : 2));
    ASSIGN_OR_RETURN(LatencyReport latency, MeasureLatency(job.graph, kept, costs, backend,
                                                           job.data.evaluation, batch, check));
    if (shrunk != nullptr) {
      ASSIGN_OR_RETURN(
          const LatencyReport narrower,
          MeasureLatency(*shrunk, {}, costs, backend, job.data.evaluation, batch, check));
      latency.shrunk = narrower.dense;
    }
    return latency;
  };
  for (const int64_t batch : spec.outputs.latency_batches) {
    absl::StatusOr<LatencyReport> latency = measure(batch);
    if (absl::IsCancelled(latency.status()) || absl::IsAborted(latency.status())) {
      return latency.status();
    }
    if (latency.ok()) {
      latencies.measured.push_back(*std::move(latency));
      continue;
    }
    LogWarning("latency not measured", {{"batch", batch}, {"error", latency.status().ToString()}});
    latencies.warnings.push_back(absl::StrCat("the latency at batch ", batch,
                                              " was not measured: ", latency.status().message()));
  }
  return latencies;
}

}  // namespace topiary
