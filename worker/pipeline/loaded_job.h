#ifndef TOPIARY_WORKER_PIPELINE_LOADED_JOB_H_
#define TOPIARY_WORKER_PIPELINE_LOADED_JOB_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/features/feature_layer.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_reporter.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/memory_estimate.h"
#include "worker/pipeline/prepared_data.h"
#include "worker/prune/budget.h"
#include "worker/prune/group_choice.h"
#include "worker/prune/method.h"

namespace topiary {

// A job's input, read and checked: everything that can be wrong with spec, model and data has been
// found before anything trains.
struct LoadedJob {
  Graph graph;
  PreparedData data;
  std::vector<LayerChoice> choices;  // Empty where nothing is to be pruned.
  std::vector<GroupChoice> groups;   // In place of `choices` where a structure is pruned.
  // Of the blocks of all layers, where the target's is not settled by the spec alone.
  std::optional<double> global_sparsity;
  // Of the Gemm, MatMul and Conv weights, and of embedding tables that are pruned.
  int64_t all_elements = 0;
  int64_t batch = 0;  // Examples per step.
  int64_t batches_per_epoch = 0;
  int64_t total_steps = 0;
  // Of a job that selects features; the layer is that of the model given.
  std::optional<FeatureLayer> features = std::nullopt;
  int64_t selection_steps = 0;  // 0 where the selector does not train.
  MemoryEstimate memory;        // Of the training, or the evaluation.
};

// Errors as ImportOnnx(), RequirementsOf(), ChooseLayers(), ChooseGroups(), FindFeaturesFor(),
// PrepareData() and CheckMemoryLimit().
absl::StatusOr<LoadedJob> LoadJob(const JobSpec& spec, const JobReporter& reporter);

// RESOURCE_EXHAUSTED where `programs` of `graph` for inference, at `batch`, beside `data_bytes` of
// examples, pass the job's limit.
absl::Status CheckLatencyMemory(const JobSpec& spec, const Graph& graph, int64_t data_bytes,
                                int64_t batch, int programs);

// Names of the weights of `graph` that training changes. Errors as InferShapes().
absl::StatusOr<std::set<std::string>> TrainableWeights(const Graph& graph);

// What the job may use beyond the weights of `graph`, as they came and as a program reads them, and
// `data_bytes`; none: no limit.
std::optional<int64_t> MemoryBesideWeights(const JobSpec& spec, const Graph& graph,
                                           int64_t data_bytes);

// What LoadedJob::all_elements is of a job on `graph` that prunes `groups`, if any.
int64_t AllElementsOf(const Graph& graph, const std::vector<GroupChoice>& groups);

// The method of `spec` over the layers chosen, or dense training, as for the network on chosen
// features. Not for EvaluateSpec.
absl::StatusOr<std::unique_ptr<Method>> NewMethodFor(const JobSpec& spec, const LoadedJob& job,
                                                     bool dense_comparison);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_LOADED_JOB_H_
