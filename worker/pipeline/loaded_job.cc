#include "worker/pipeline/loaded_job.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/export/npz_writer.h"
#include "worker/features/feature_selector.h"
#include "worker/features/selector_registry.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_import.h"
#include "worker/model/shape_inference.h"
#include "worker/pipeline/feature_selection.h"
#include "worker/pipeline/memory_estimate.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/pipeline/task.h"
#include "worker/prune/calibrated_groups.h"
#include "worker/prune/calibration.h"
#include "worker/prune/dense_method.h"
#include "worker/prune/method_registry.h"

namespace topiary {
namespace {

bool Trains(const JobSpec& spec) { return !std::holds_alternative<EvaluateSpec>(spec.method); }

// Whether all that the job does with its weights is calibration.
bool HasNoSteps(const JobSpec& spec) {
  return Calibrates(spec.method) && spec.task.epochs == 0 && spec.task.steps == 0;
}

absl::Status LoadModel(const JobSpec& spec, const std::function<absl::Status()>& check,
                       LoadedJob* job) {
  ImportLimits limits;
  if (spec.memory_limit_bytes > 0) {
    limits.max_tensor_bytes = std::min(limits.max_tensor_bytes, spec.memory_limit_bytes);
  }
  ASSIGN_OR_RETURN(job->graph, ImportOnnx(spec.model_path, limits));
  const std::vector<PrunableLayer> layers = FindPrunableLayers(job->graph);
  job->all_elements = AllElementsOf(job->graph, {});
  if (const auto* selection = std::get_if<FeatureSelectionSpec>(&spec.method)) {
    ASSIGN_OR_RETURN(job->features, FindFeaturesFor(*selection, job->graph));
    return absl::OkStatus();
  }
  const auto* method = std::get_if<MethodOptions>(&spec.method);
  if (method == nullptr || !Prunes(*method)) return absl::OkStatus();
  if (!spec.target.has_value()) {
    return absl::InvalidArgumentError("spec.target is missing: the method needs a sparsity");
  }
  ASSIGN_OR_RETURN(const std::set<std::string> trainable, TrainableWeights(job->graph));
  const PruningTarget target = PruningTargetOf(*spec.target);
  if (!target.structure.has_value()) {
    ASSIGN_OR_RETURN(job->choices, ChooseLayers(layers, trainable, target,
                                                MemoryBesideWeights(spec, job->graph, 0), check));
    return absl::OkStatus();
  }
  GroupConditions conditions;
  conditions.memory_bytes = MemoryBesideWeights(spec, job->graph, 0);
  if (Calibrates(spec.method)) conditions.moments = MomentsFor(*method);
  ASSIGN_OR_RETURN(job->groups, ChooseGroups(job->graph, trainable, target, conditions, check));
  job->all_elements = AllElementsOf(job->graph, job->groups);
  return absl::OkStatus();
}

// Of those that the job returns for the held-out examples.
absl::StatusOr<int64_t> PredictionBytes(const JobSpec& spec, const DataRequirements& requirements,
                                        int64_t examples) {
  const auto* evaluate = std::get_if<EvaluateSpec>(&spec.method);
  if (evaluate == nullptr || !evaluate->return_predictions) return 0;
  const int64_t per_example =
      requirements.outputs_per_example() * static_cast<int64_t>(sizeof(float));
  if (examples <= kMaxNpzBytes / per_example) return examples * per_example;
  return absl::ResourceExhaustedError(absl::StrCat(
      "the predictions for ", examples, " held-out examples, ", per_example,
      " bytes each, do not fit an .npz file of less than 4 GiB: evaluate fewer at a time"));
}

// That the model has a meaning at each batch at which it is to be timed.
absl::Status CheckLatencyBatches(const JobSpec& spec, const Graph& graph) {
  for (const int64_t batch : spec.outputs.latency_batches) {
    MemoryNeeds needs;
    needs.batch = batch;
    const absl::Status status = EstimateMemory(graph, needs).status();
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat("spec.outputs.latency_batch_sizes: ", batch,
                                                    ": ", status.message()));
  }
  return absl::OkStatus();
}

// Of the copies of training examples on which sensitivity is measured; all are read in place.
int64_t DrawnBytes(const JobSpec& spec, const PreparedData& data) {
  const std::optional<PruningTargetSpec>& target = spec.target;
  if (!target.has_value() || target->latency.has_value()) return 0;
  if (target->budget != BudgetKind::kSensitivity) return 0;
  if (target->sensitivity.examples >= data.train.size()) return 0;
  // Those held out are alike.
  return data.bytes() / (data.train.size() + data.evaluation.size()) * target->sensitivity.examples;
}

// Of the examples to calibrate by, which are copied; 0 before `data`, of `data_bytes`, are read.
int64_t CalibrationExampleBytes(const MethodOptions& method, int64_t batch,
                                const PreparedData& data, int64_t data_bytes) {
  const CalibrationOptions* const options = CalibrationOptionsOf(method);
  if (options == nullptr || data_bytes == 0) return 0;
  const int64_t drawn = std::min(data.train.size(), std::max(batch, options->examples));
  const int64_t all = data.train.size() + data.evaluation.size();
  return static_cast<int64_t>(static_cast<double>(data_bytes) * static_cast<double>(drawn) /
                              static_cast<double>(all));
}

int64_t ReaderBytes(const std::vector<GroupChoice>& groups) {
  size_t runs = 0;
  for (const GroupChoice& choice : groups) {
    if (choice.reader != nullptr) runs += choice.reader->runs()->runs.size();
  }
  return static_cast<int64_t>(runs * sizeof(BlockRun));
}

// Of a job that calibrates.
std::vector<MeasuredLayer> MeasuredLayersOf(const Graph& graph, const MemoryNeeds& needs,
                                            const std::vector<GroupChoice>& groups) {
  std::vector<MeasuredLayer> measured;
  for (const std::shared_ptr<const BlockPartition>& partition : needs.partitions) {
    measured.push_back({partition->layer(), partition->block()});
  }
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  for (const GroupChoice& choice : groups) {
    if (!choice.dense_reason.empty()) continue;
    for (const GroupMatrix& matrix : MatricesOf(*choice.group, layers)) {
      measured.push_back({*matrix.layer, {1, 1}});
      if (choice.reader != nullptr) measured.back().block = choice.reader->block();
    }
  }
  return measured;
}

absl::Status CheckMemory(const JobSpec& spec, int64_t batch, int64_t data_bytes,
                         int64_t prediction_bytes, LoadedJob* job) {
  MemoryNeeds needs;
  needs.batch = batch;
  needs.data_bytes = data_bytes;
  if (data_bytes > 0) needs.data_bytes += DrawnBytes(spec, job->data);
  needs.prediction_bytes = prediction_bytes;
  needs.teacher = spec.task.distillation.has_value();
  needs.threads = spec.threads;
  needs.clips_gradients = spec.task.clip_gradient_norm.has_value();
  if (Trains(spec)) needs.optimizer = OptimizerOptionsOf(spec.task.optimizer).kind;
  if (spec.target.has_value()) {
    needs.keeps_a_model = spec.target->accuracy_bound.has_value();
    needs.rewinds = spec.target->rewind.has_value() && spec.target->rewind->weights;
  }
  for (const LayerChoice& choice : job->choices) {
    if (choice.partition == nullptr) continue;
    needs.partitions.push_back(choice.partition);
  }
  for (const GroupChoice& choice : job->groups) {
    if (choice.dense_reason.empty()) needs.groups.push_back(choice.group);
  }
  if (Calibrates(spec.method)) {
    const auto& method = std::get<MethodOptions>(spec.method);
    needs.calibration_bytes =
        CalibrationBytes(method, MeasuredLayersOf(job->graph, needs, job->groups), spec.threads) +
        CalibrationExampleBytes(method, batch, job->data, data_bytes) + ReaderBytes(job->groups);
  }
  if (job->features.has_value()) {
    ASSIGN_OR_RETURN(const CandidateFeatures candidates, CandidatesOf(*job->features));
    needs.partitions.push_back(candidates.partition);
    const auto& selection = std::get<FeatureSelectionSpec>(spec.method);
    needs.selector_bytes = SelectorBytes(selection.selector, *job->features, selection.count);
  }
  ASSIGN_OR_RETURN(job->memory, EstimateMemory(job->graph, needs));
  return CheckMemoryLimit(job->memory, spec.memory_limit_bytes);
}

}  // namespace

absl::StatusOr<std::set<std::string>> TrainableWeights(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  return std::set<std::string>(inferred.parameters.begin(), inferred.parameters.end());
}

absl::StatusOr<LoadedJob> LoadJob(const JobSpec& spec, const JobReporter& reporter) {
  LoadedJob job;
  RETURN_IF_ERROR(LoadModel(spec, reporter.checker(), &job));
  ASSIGN_OR_RETURN(const DataRequirements requirements, RequirementsOf(job.graph, spec.task.loss));
  RETURN_IF_ERROR(CheckLatencyBatches(spec, job.graph));
  RETURN_IF_ERROR(CheckMemory(spec, 1, 0, 0, &job));
  ASSIGN_OR_RETURN(job.data, PrepareData(spec.data, spec.task.loss, spec.task.seed, requirements,
                                         spec.memory_limit_bytes, reporter.checker()));
  job.batch = std::min(spec.task.batch_size, job.data.train.size());
  job.batches_per_epoch = job.data.train.size() / job.batch;
  if (Trains(spec) && !HasNoSteps(spec)) {
    ASSIGN_OR_RETURN(job.total_steps, TotalSteps(spec.task, job.batches_per_epoch));
  }
  const auto* selection = std::get_if<FeatureSelectionSpec>(&spec.method);
  if (selection != nullptr && TrainsToSelect(selection->selector)) {
    ASSIGN_OR_RETURN(job.selection_steps, TotalSteps(SelectionTask(spec), job.batches_per_epoch));
  }
  ASSIGN_OR_RETURN(const int64_t prediction_bytes,
                   PredictionBytes(spec, requirements, job.data.evaluation.size()));
  RETURN_IF_ERROR(CheckMemory(spec, job.batch, job.data.bytes(), prediction_bytes, &job));
  return job;
}

absl::Status CheckLatencyMemory(const JobSpec& spec, const Graph& graph, int64_t data_bytes,
                                int64_t batch, int programs) {
  MemoryNeeds needs;
  needs.batch = batch;
  needs.data_bytes = data_bytes;
  ASSIGN_OR_RETURN(MemoryEstimate estimate, EstimateMemory(graph, needs));
  estimate.activations *= programs;
  return CheckMemoryLimit(estimate, spec.memory_limit_bytes);
}

std::optional<int64_t> MemoryBesideWeights(const JobSpec& spec, const Graph& graph,
                                           int64_t data_bytes) {
  if (spec.memory_limit_bytes == 0) return std::nullopt;
  return std::max<int64_t>(0, spec.memory_limit_bytes - data_bytes - 2 * WeightBytes(graph));
}

int64_t AllElementsOf(const Graph& graph, const std::vector<GroupChoice>& groups) {
  int64_t elements = 0;
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) elements += layer.element_count();
  for (const auto& [table, count] : TablesOf(groups, graph)) elements += count;
  return elements;
}

absl::StatusOr<std::unique_ptr<Method>> NewMethodFor(const JobSpec& spec, const LoadedJob& job,
                                                     bool dense_comparison) {
  if (dense_comparison || job.features.has_value()) return NewDenseMethod(job.total_steps);
  std::vector<MethodLayer> layers;
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition == nullptr) continue;
    layers.push_back({choice.layer.weight, choice.partition, choice.sparsity, /*group=*/nullptr,
                      choice.min_sparsity, choice.max_sparsity});
  }
  for (const GroupChoice& choice : job.groups) {
    if (!choice.dense_reason.empty()) continue;
    layers.push_back({choice.group->name(), nullptr, choice.sparsity, choice.group,
                      choice.min_sparsity, choice.max_sparsity});
  }
  PruningTarget target = spec.target.has_value() ? PruningTargetOf(*spec.target) : PruningTarget();
  if (job.global_sparsity.has_value()) target.sparsity = job.global_sparsity;
  return NewMethod(std::get<MethodOptions>(spec.method), target, std::move(layers),
                   job.total_steps);
}

}  // namespace topiary
