#ifndef TOPIARY_WORKER_PIPELINE_BENCHMARK_JOB_H_
#define TOPIARY_WORKER_PIPELINE_BENCHMARK_JOB_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "worker/engine/layer_cost.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_reporter.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/latency.h"

namespace topiary {

// Fills the inputs of a program with random numbers, and with ids that lie in their tables:
// `limits` is what FindIdLimits() says of the graph, and must outlive the result.
InputFiller RandomInputs(const std::map<std::string, std::vector<int64_t>>& limits);

// A job of method benchmark: times the model as given, whole and node by node, at each latency
// batch of `spec`, on random inputs, and writes report.json into `work_folder`.
//
// Errors as ReadServedModel(), InferShapes() and MeasureLatency(); RESOURCE_EXHAUSTED, with
// figures, where a batch would pass the job's memory limit.
absl::StatusOr<JobOutcome> RunBenchmarkJob(const JobSpec& spec, const std::string& work_folder,
                                           LayerCostSource* costs, Backend* backend, Clock* clock,
                                           JobReporter* reporter);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_BENCHMARK_JOB_H_
