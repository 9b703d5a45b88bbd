#include "worker/pipeline/result_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "worker/export/npz_writer.h"
#include "worker/model/inference_form.h"
#include "worker/model/onnx_export.h"
#include "worker/pipeline/feature_selection.h"
#include "worker/pipeline/finished_model.h"
#include "worker/pipeline/model_size.h"
#include "worker/pipeline/shrunk_model.h"

namespace topiary {
namespace {

std::string KindName(JobFile::Kind kind) {
  switch (kind) {
    case JobFile::Kind::kOnnx:
      return "onnx";
    case JobFile::Kind::kBlockSparse:
      return "block_sparse";
    case JobFile::Kind::kReport:
      return "report";
    case JobFile::Kind::kPredictions:
      return "predictions";
    case JobFile::Kind::kCheckpoint:
      return "checkpoint";
    case JobFile::Kind::kShrunkOnnx:
      return "shrunk_onnx";
  }
  return "";
}

std::string LossName(LossSpec loss) {
  switch (loss) {
    case LossSpec::kCrossEntropy:
      return "cross_entropy";
    case LossSpec::kBinaryCrossEntropy:
      return "binary_cross_entropy";
    case LossSpec::kMeanSquaredError:
      return "mean_squared_error";
  }
  return "";
}

std::string OptimizerName(OptimizerSpec::Kind kind) {
  switch (kind) {
    case OptimizerSpec::Kind::kSgd:
      return "sgd";
    case OptimizerSpec::Kind::kAdam:
      return "adam";
    case OptimizerSpec::Kind::kAdamW:
      return "adamw";
  }
  return "";
}

void DescribeTask(const ReportInput& input, JobReport* report) {
  const JobSpec& spec = *input.spec;
  report->dry_run = spec.dry_run;
  report->method = std::string(MethodName(spec.method));
  report->loss = LossName(spec.task.loss);
  report->seed = spec.task.seed;
  report->batch_size = input.job->batch;
  report->train_examples = input.job->data.train.size();
  report->evaluation_examples = input.job->data.evaluation.size();
  if (input.job->total_steps > 0) {
    report->optimizer = OptimizerName(spec.task.optimizer.kind);
    report->steps = input.job->total_steps;
    report->epochs = static_cast<double>(input.job->total_steps) /
                     static_cast<double>(input.job->batches_per_epoch);
  }
}

std::string BudgetName(const PruningTargetSpec& target) {
  if (target.latency.has_value()) return "latency";
  if (target.n_of_m.has_value()) return absl::StrCat(target.n_of_m->n, ":", target.n_of_m->m);
  switch (target.budget) {
    case BudgetKind::kUniform:
      return "uniform";
    case BudgetKind::kGlobal:
      return "global";
    case BudgetKind::kErk:
      return "erk";
    case BudgetKind::kSensitivity:
      return "sensitivity";
  }
  return "";
}

absl::Status DescribeSize(const ReportInput& input, JobReport* report) {
  const bool has_groups = !input.job->groups.empty();
  if (input.job->choices.empty() && !has_groups) return absl::OkStatus();
  const Graph& graph = input.job->graph;
  SizeReport size;
  if (has_groups) {
    ASSIGN_OR_RETURN(const Graph inference, InferenceForm(graph));
    ASSIGN_OR_RETURN(size.dense, SizeOfOnnx(inference));
    size.reached = size.dense;
    if (input.shrunk != nullptr) {
      ASSIGN_OR_RETURN(size.reached, SizeOfOnnx(input.shrunk->graph));
    }
  } else {
    ASSIGN_OR_RETURN(size.dense, MeasureSize(graph, {}));
    ASSIGN_OR_RETURN(size.reached, MeasureSize(graph, *input.pruned));
  }
  if (const auto& budget = input.spec->target->size; budget.has_value()) {
    size.amount = std::string(AmountName(budget->amount));
    size.requested = RequestedAmount(*budget, AmountOf(size.dense, budget->amount));
    size.requested_ratio = budget->ratio;
  }
  // Blocks keep to it, but for a model that was kept for an accuracy bound, which has a warning.
  if (has_groups && !size.amount.empty()) {
    const int64_t reached = AmountOf(size.reached, input.spec->target->size->amount);
    if (reached > size.requested) {
      report->warnings.push_back(absl::StrCat("what is left has ", reached, " ", size.amount,
                                              ", more than the ", size.requested, " asked for"));
    }
  }
  report->size = size;
  return AddFlops(graph, *input.pruned, &report->layers);
}

void AddSensitivity(const KernelPlan& plan, LayerReport* layer) {
  if (!plan.sensitivity.has_value()) return;
  const auto found = plan.sensitivity->curves.find(layer->name);
  if (found == plan.sensitivity->curves.end()) return;
  const SensitivityCurve& curve = found->second;
  for (auto point = curve.rbegin(); point != curve.rend(); ++point) {
    const double kept = static_cast<double>(point->kept) / static_cast<double>(layer->blocks_total);
    layer->sensitivity.push_back({1 - kept, point->loss});
  }
}

void DescribeSparsity(const ReportInput& input, JobReport* report) {
  report->layers = DescribeLayers(input.job->graph, input.job->choices, *input.pruned);
  if (input.pruned->empty() && input.pruned_groups->empty()) return;
  const PruningTargetSpec& target = *input.spec->target;
  if (target.latency.has_value()) {
    report->latency_requested = {target.latency->ratio, target.latency->batch};
  } else if (!target.size.has_value()) {
    report->sparsity_requested = target.sparsity;
  }
  if (!target.structure.has_value()) report->block = {target.block_rows, target.block_cols};
  report->budget = BudgetName(target);
  const KernelPlan plan = input.record->plan.value_or(KernelPlan());
  if (plan.sensitivity.has_value()) report->sensitivity_examples = plan.sensitivity->examples;
  for (LayerReport& layer : report->layers) {
    AddSensitivity(plan, &layer);
    const auto allotted = plan.sparsities.find(layer.name);
    if (layer.pruned && allotted != plan.sparsities.end()) {
      layer.sparsity_requested = allotted->second;
    } else if (layer.pruned && target.budget != BudgetKind::kGlobal) {
      layer.sparsity_requested = target.sparsity;
    }
    const auto found = plan.break_evens.find(layer.name);
    if (found != plan.break_evens.end()) layer.training_break_even_sparsity = 1 - found->second;
  }
  if (!target.structure.has_value()) {
    // A model that was kept for an accuracy bound is less sparse for that reason, and has its own
    // warning.
    const bool is_kept =
        input.accuracy_bound.has_value() && input.accuracy_bound->final_sparsity.has_value();
    report->warnings =
        WarningsAbout(report->layers, is_kept ? std::nullopt : report->sparsity_requested);
    return;
  }
  report->structure = std::string(StructureName(*target.structure));
  report->groups = DescribeGroups(input.job->groups, *input.pruned_groups);
  if (report->dry_run) {
    // Those that were drawn are no choice.
    for (GroupReport& group : report->groups) group.pruned.clear();
  }
  report->warnings = WarningsAboutGroups(report->groups);
  DescribeLayersOfGroups(input.job->graph, input.job->groups, &report->layers);
}

void DescribeMetrics(const ReportInput& input, JobReport* report) {
  report->given_metrics = input.record->given_metrics;
  report->dense_metrics = input.record->dense_metrics.value_or(MetricValues());
  const auto* method = std::get_if<MethodOptions>(&input.spec->method);
  if (method != nullptr && !Prunes(*method)) {
    report->dense_metrics = input.trained_metrics;
  } else {
    report->pruned_metrics = input.trained_metrics;
  }
  report->history = input.record->history;
  report->accuracy_bound = input.accuracy_bound;
  if (input.record->selection.has_value()) {
    report->feature_selection =
        DescribeSelection(*input.record->selection, *input.spec, *input.job->features,
                          input.job->selection_steps, input.job->data.train);
  }
}

void DescribeRun(const ReportInput& input, JobReport* report) {
  for (const Phase& phase : input.phases) {
    report->phases.push_back({std::string(PhaseKindName(phase.kind)), phase.begin, phase.end()});
  }
  report->latency = input.latency;
  for (LatencyReport& latency : report->latency) {
    latency.warning = WarningAboutSpeed(report->layers, report->latency_requested, latency);
  }
  report->warnings.insert(report->warnings.end(), input.warnings.begin(), input.warnings.end());
  report->bit_exact = input.record->bit_exact;
  report->costs.steps = report->steps;
  report->costs.samples = input.record->samples;
  report->costs.training_seconds = input.record->training_seconds;
  report->costs.evaluation_seconds = input.record->evaluation_seconds;
  report->costs.total_seconds = input.total_seconds;
  report->costs.memory_estimate_bytes = input.job->memory.total();
  report->costs.training_estimate_seconds = input.training_estimate_seconds;
  report->environment.topiary_version = kVersion;
  report->environment.backend = input.backend.name;
  report->environment.isa = input.backend.isa;
  report->environment.threads = input.backend.threads;
  report->environment.versions = input.backend.versions;
  report->environment.plan_digest = input.plan_digest;
  report->environment.precision = std::string(PrecisionName(input.backend.precision));
}

void DescribeShrunkModel(const ReportInput& input, JobReport* report) {
  if (input.shrunk == nullptr) return;
  report->shrunk = DescribeShrunk(input.job->graph, *input.shrunk);
  const std::vector<PrunedGroup>& groups = *input.pruned_groups;
  const bool named = !groups.empty() && !groups[0].group->candidate_names().empty();
  if (report->dry_run && named) report->shrunk->tensors.clear();  // Of those that were drawn.
  for (const FileReport& file : report->files) {
    if (file.kind != KindName(JobFile::Kind::kShrunkOnnx)) continue;
    report->shrunk->file = file.name;
    report->shrunk->bytes = file.bytes;
    return;
  }
  // Of a structure, whose narrower model is made though it is not written.
  report->shrunk->bytes = report->size->reached.bytes;
}

// Bit for bit.
absl::StatusOr<bool> SameModel(const Graph& a, const Graph& b) {
  const auto same = [](const Initializer& left, const Initializer& right) {
    return left.name == right.name && left.doc == right.doc &&
           BitwiseEqual(left.value, right.value);
  };
  if (!std::equal(a.initializers.begin(), a.initializers.end(), b.initializers.begin(),
                  b.initializers.end(), same)) {
    return false;
  }
  ASSIGN_OR_RETURN(const std::string bytes, SerializeOnnx(a.CloneWithoutInitializers()));
  ASSIGN_OR_RETURN(const std::string others, SerializeOnnx(b.CloneWithoutInitializers()));
  return bytes == others;
}

}  // namespace

std::string ResultFiles::Add(JobFile::Kind kind, const std::string& filename) {
  std::string path = absl::StrCat(folder_, "/", filename);
  files_.push_back({kind, filename, path});
  return path;
}

absl::Status ResultFiles::AddOnnx(const Graph& model) {
  return ExportOnnx(model, Add(JobFile::Kind::kOnnx, "model.onnx"));
}

absl::Status ResultFiles::AddShrunkOnnx(const Graph& model) {
  return ExportOnnx(model, Add(JobFile::Kind::kShrunkOnnx, "model.shrunk.onnx"));
}

absl::Status ResultFiles::AddBlockSparse(const Graph& model,
                                         const std::vector<PrunedWeight>& pruned) {
  const std::string path = Add(JobFile::Kind::kBlockSparse, "model.safetensors");
  ASSIGN_OR_RETURN(const Graph inference, InferenceForm(model));
  RETURN_IF_ERROR(WriteBlockSparseFile(inference, pruned, path));
  ASSIGN_OR_RETURN(const BlockSparseModel read, ReadBlockSparseFile(path));
  ASSIGN_OR_RETURN(const bool same, SameModel(read.graph, inference));
  if (!same) {
    return absl::InternalError(
        absl::StrCat("the model read back from '", path, "' is not what was written"));
  }
  return absl::OkStatus();
}

absl::Status ResultFiles::AddPredictions(const Tensor& predictions) {
  return WriteNpz("predictions", predictions, Add(JobFile::Kind::kPredictions, "predictions.npz"));
}

void ResultFiles::AddCheckpoint() {
  std::error_code ignored;
  if (!std::filesystem::exists(absl::StrCat(folder_, "/checkpoint"), ignored)) return;
  Add(JobFile::Kind::kCheckpoint, "checkpoint");
}

absl::Status ResultFiles::AddReport(const std::string& json) {
  return WriteFileAtomically(Add(JobFile::Kind::kReport, "report.json"), json);
}

absl::StatusOr<std::vector<FileReport>> ResultFiles::Describe() const {
  std::vector<FileReport> reports;
  for (const JobFile& file : files_) {
    // A checkpoint has costs in it, so its bytes differ from run to run.
    if (file.kind == JobFile::Kind::kCheckpoint) continue;
    FileReport report;
    report.name = file.filename;
    report.kind = KindName(file.kind);
    std::error_code error;
    report.bytes = static_cast<int64_t>(std::filesystem::file_size(file.path, error));
    if (error) return absl::InternalError(absl::StrCat(file.path, ": ", error.message()));
    ASSIGN_OR_RETURN(report.sha256, Sha256HexOfFile(file.path));
    reports.push_back(std::move(report));
  }
  return reports;
}

absl::StatusOr<JobOutcome> WriteReport(const ReportInput& input, ResultFiles* files) {
  JobReport report;
  DescribeTask(input, &report);
  DescribeSparsity(input, &report);
  RETURN_IF_ERROR(DescribeSize(input, &report));
  DescribeMetrics(input, &report);
  DescribeRun(input, &report);
  ASSIGN_OR_RETURN(report.files, files->Describe());
  DescribeShrunkModel(input, &report);
  RETURN_IF_ERROR(files->AddReport(ReportJson(report)));

  JobOutcome outcome;
  outcome.files = files->files();
  outcome.given_metrics = report.given_metrics;
  outcome.dense_metrics = report.dense_metrics;
  outcome.pruned_metrics = report.pruned_metrics;
  outcome.sparsity_requested = report.sparsity_requested;
  outcome.sparsity_reached = SparsityReached(report.layers);
  outcome.bit_exact = report.bit_exact;
  return outcome;
}

}  // namespace topiary
