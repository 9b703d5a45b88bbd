#include "worker/agent/spec_proto.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "worker/agent/spec_proto_parts.h"
#include "worker/pipeline/task.h"

namespace topiary {
namespace {

void AddDigest(const std::string& digest, std::vector<std::string>* digests) {
  if (std::find(digests->begin(), digests->end(), digest) == digests->end()) {
    digests->push_back(digest);
  }
}

void AddDigests(const v1::DataSource& source, std::vector<std::string>* digests) {
  switch (source.format_case()) {
    case v1::DataSource::kNpz:
      return AddDigest(source.npz().digest(), digests);
    case v1::DataSource::kIdx:
      AddDigest(source.idx().images_digest(), digests);
      return AddDigest(source.idx().labels_digest(), digests);
    case v1::DataSource::kCsv:
      return AddDigest(source.csv().digest(), digests);
    case v1::DataSource::FORMAT_NOT_SET:
      return;
  }
}

bool StaysInFolder(const std::string& path) {
  if (path.empty() || path.size() > 255) return false;
  for (const char c : path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

absl::StatusOr<std::string> PathOf(const std::string& digest,
                                   const std::map<std::string, std::string>& paths) {
  const auto found = paths.find(digest);
  if (found == paths.end()) {
    return absl::InvalidArgumentError(absl::StrCat("no file was fetched for artifact ", digest));
  }
  return found->second;
}

absl::StatusOr<CsvSourceSpec> ConvertCsv(const v1::CsvSource& csv, std::string path) {
  CsvSourceSpec out;
  out.path = std::move(path);
  if (csv.has_header()) out.header = csv.header();
  if (csv.delimiter().size() > 1) return UnknownValue("spec.data csv.delimiter");
  if (!csv.delimiter().empty()) out.delimiter = csv.delimiter()[0];
  for (const v1::CsvColumn& column : csv.columns()) {
    CsvColumnSpec converted;
    if (column.column_case() == v1::CsvColumn::kName) {
      converted.column = column.name();
    } else {
      converted.column = column.index();
    }
    switch (column.role()) {
      case v1::CsvColumn::FEATURE:
        converted.role = CsvColumnSpec::Role::kFeature;
        break;
      case v1::CsvColumn::LABEL:
        converted.role = CsvColumnSpec::Role::kLabel;
        break;
      case v1::CsvColumn::IGNORE:
        converted.role = CsvColumnSpec::Role::kIgnore;
        break;
      default:
        return UnknownValue("spec.data csv.columns.role");
    }
    out.columns.push_back(std::move(converted));
  }
  return out;
}

absl::StatusOr<DataSourceSpec> ConvertSource(const v1::DataSource& source,
                                             const std::map<std::string, std::string>& paths) {
  switch (source.format_case()) {
    case v1::DataSource::kNpz: {
      NpzSourceSpec npz;
      ASSIGN_OR_RETURN(npz.path, PathOf(source.npz().digest(), paths));
      if (!source.npz().input_array().empty()) npz.input_array = source.npz().input_array();
      if (!source.npz().label_array().empty()) npz.label_array = source.npz().label_array();
      return DataSourceSpec(std::move(npz));
    }
    case v1::DataSource::kIdx: {
      IdxSourceSpec idx;
      ASSIGN_OR_RETURN(idx.images_path, PathOf(source.idx().images_digest(), paths));
      ASSIGN_OR_RETURN(idx.labels_path, PathOf(source.idx().labels_digest(), paths));
      return DataSourceSpec(std::move(idx));
    }
    case v1::DataSource::kCsv: {
      ASSIGN_OR_RETURN(std::string path, PathOf(source.csv().digest(), paths));
      ASSIGN_OR_RETURN(CsvSourceSpec csv, ConvertCsv(source.csv(), std::move(path)));
      return DataSourceSpec(std::move(csv));
    }
    case v1::DataSource::FORMAT_NOT_SET:
      break;
  }
  return UnknownValue("spec.data source");
}

absl::StatusOr<NormalizationSpec> ConvertNormalization(const v1::Data& data) {
  NormalizationSpec out;
  switch (data.normalization().kind_case()) {
    case v1::Normalization::kGiven: {
      const v1::GivenNormalization& given = data.normalization().given();
      out.kind = NormalizationSpec::Kind::kGiven;
      out.mean.assign(given.mean().begin(), given.mean().end());
      out.standard_deviation.assign(given.standard_deviation().begin(),
                                    given.standard_deviation().end());
      return out;
    }
    case v1::Normalization::kFitted:
      out.kind = NormalizationSpec::Kind::kFitted;
      switch (data.normalization().fitted().axis()) {
        case v1::FittedNormalization::ALL:
          out.axis = NormalizationSpec::Axis::kAll;
          return out;
        case v1::FittedNormalization::CHANNEL:
          out.axis = NormalizationSpec::Axis::kChannel;
          return out;
        case v1::FittedNormalization::FEATURE:
          out.axis = NormalizationSpec::Axis::kFeature;
          return out;
        default:
          return UnknownValue("spec.data.normalization.fitted.axis");
      }
    case v1::Normalization::KIND_NOT_SET:
      if (data.has_normalization()) return UnknownValue("spec.data.normalization");
      return out;
  }
  return UnknownValue("spec.data.normalization");
}

absl::StatusOr<DataSpec> ConvertData(const v1::Data& data,
                                     const std::map<std::string, std::string>& paths) {
  DataSpec out;
  ASSIGN_OR_RETURN(out.train, ConvertSource(data.train(), paths));
  if (data.has_evaluation()) {
    ASSIGN_OR_RETURN(out.evaluation, ConvertSource(data.evaluation(), paths));
  }
  if (data.has_validation_fraction()) out.validation_fraction = data.validation_fraction();
  if (data.has_divide_by()) out.divide_by = data.divide_by();
  ASSIGN_OR_RETURN(out.normalization, ConvertNormalization(data));
  return out;
}

absl::StatusOr<OptimizerSpec> ConvertOptimizer(const v1::Optimizer& optimizer) {
  OptimizerSpec out;
  // Adam and AdamW have the same fields under two names.
  const auto moments = [&out](const auto& adam) {
    if (adam.has_beta1()) out.beta1 = adam.beta1();
    if (adam.has_beta2()) out.beta2 = adam.beta2();
    if (adam.has_epsilon()) out.epsilon = adam.epsilon();
  };
  switch (optimizer.kind_case()) {
    case v1::Optimizer::kSgd:
      out.kind = OptimizerSpec::Kind::kSgd;
      if (optimizer.sgd().has_momentum()) out.momentum = optimizer.sgd().momentum();
      out.nesterov = optimizer.sgd().nesterov();
      break;
    case v1::Optimizer::kAdam:
      out.kind = OptimizerSpec::Kind::kAdam;
      moments(optimizer.adam());
      break;
    case v1::Optimizer::kAdamw:
      out.kind = OptimizerSpec::Kind::kAdamW;
      moments(optimizer.adamw());
      break;
    case v1::Optimizer::KIND_NOT_SET:
      return UnknownValue("spec.task.optimizer");
  }
  if (optimizer.has_weight_decay()) out.weight_decay = optimizer.weight_decay();
  return out;
}

absl::StatusOr<LearningRateSpec> ConvertLearningRate(const v1::LearningRate& rate) {
  LearningRateSpec out;
  if (rate.has_base()) out.base = rate.base();
  out.warmup_steps = rate.warmup_steps();
  switch (rate.schedule_case()) {
    case v1::LearningRate::kConstant:
      out.schedule = LearningRateSpec::Schedule::kConstant;
      return out;
    case v1::LearningRate::kStep:
      out.schedule = LearningRateSpec::Schedule::kStep;
      if (rate.step().has_factor()) out.step_factor = rate.step().factor();
      out.step_milestones.assign(rate.step().milestones().begin(), rate.step().milestones().end());
      return out;
    case v1::LearningRate::kCosine:
      out.schedule = LearningRateSpec::Schedule::kCosine;
      out.final_fraction = rate.cosine().final_fraction();
      return out;
    case v1::LearningRate::kLinear:
      out.schedule = LearningRateSpec::Schedule::kLinear;
      out.final_fraction = rate.linear().final_fraction();
      return out;
    case v1::LearningRate::SCHEDULE_NOT_SET:
      break;
  }
  return UnknownValue("spec.task.learning_rate");
}

absl::StatusOr<LossSpec> ConvertLoss(v1::Task::Loss loss) {
  switch (loss) {
    case v1::Task::CROSS_ENTROPY:
      return LossSpec::kCrossEntropy;
    case v1::Task::BINARY_CROSS_ENTROPY:
      return LossSpec::kBinaryCrossEntropy;
    case v1::Task::MEAN_SQUARED_ERROR:
      return LossSpec::kMeanSquaredError;
    default:
      return UnknownValue("spec.task.loss");
  }
}

absl::StatusOr<PrecisionSpec> ConvertPrecision(v1::Task::Precision precision) {
  switch (precision) {
    case v1::Task::PRECISION_UNSPECIFIED:  // Of jobs from before there was a choice.
    case v1::Task::FLOAT32:
      return PrecisionSpec::kFloat32;
    case v1::Task::BFLOAT16:
      return PrecisionSpec::kBfloat16;
    default:
      return UnknownValue("spec.task.precision");
  }
}

DistillationSpec ConvertDistillation(const v1::Distillation& distillation) {
  DistillationSpec out;
  if (distillation.has_weight()) out.weight = distillation.weight();
  if (distillation.has_temperature()) out.temperature = distillation.temperature();
  for (const v1::DistilledFeature& feature : distillation.features()) {
    out.features.push_back({feature.value(), feature.has_weight() ? feature.weight() : 1});
  }
  return out;
}

absl::Status ConvertTraining(const v1::Task& task, TaskSpec* out) {
  ASSIGN_OR_RETURN(out->optimizer, ConvertOptimizer(task.optimizer()));
  ASSIGN_OR_RETURN(out->learning_rate, ConvertLearningRate(task.learning_rate()));
  if (task.has_clip_gradient_norm()) out->clip_gradient_norm = task.clip_gradient_norm();
  if (task.has_distillation()) out->distillation = ConvertDistillation(task.distillation());
  out->epochs = task.has_epochs() ? task.epochs() : 0;
  out->steps = task.has_steps() ? task.steps() : 0;
  if ((out->epochs > 0) == (out->steps > 0)) return UnknownValue("spec.task.length");
  return absl::OkStatus();
}

// `may_end_untrained`: the method prunes by calibration, which training may follow.
absl::StatusOr<TaskSpec> ConvertTask(const v1::CompressionSpec& spec, bool may_end_untrained) {
  const v1::Task& task = spec.task();
  TaskSpec out;
  ASSIGN_OR_RETURN(out.loss, ConvertLoss(task.loss()));
  const bool has_length = task.length_case() != v1::Task::LENGTH_NOT_SET;
  if (!spec.has_evaluate() && (has_length || !may_end_untrained)) {
    RETURN_IF_ERROR(ConvertTraining(task, &out));
  } else {
    out.epochs = 0;
  }
  if (task.batch_size() < 1) return UnknownValue("spec.task.batch_size");
  out.batch_size = task.batch_size();
  out.seed = task.seed();
  ASSIGN_OR_RETURN(out.precision, ConvertPrecision(task.precision()));
  for (const int metric : task.metrics()) {
    ASSIGN_OR_RETURN(const MetricSpec converted, ConvertMetric(metric));
    out.metrics.push_back(converted);
  }
  return out;
}

bool PrunesBlocks(const v1::CompressionSpec& spec) {
  return spec.has_target() && spec.target().structure() == v1::PruningTarget::STRUCTURE_UNSPECIFIED;
}

OutputsSpec ConvertOutputs(const v1::CompressionSpec& spec) {
  const v1::Outputs& outputs = spec.outputs();
  const bool trains = !spec.has_evaluate() && !spec.has_benchmark();
  OutputsSpec out;
  out.onnx = outputs.has_onnx() ? outputs.onnx() : trains;
  out.block_sparse = outputs.has_block_sparse() ? outputs.block_sparse() : PrunesBlocks(spec);
  out.keep_checkpoint = outputs.keep_checkpoint();
  out.train_dense_comparison = outputs.train_dense_comparison();
  out.latency_batches.assign(outputs.latency_batch_sizes().begin(),
                             outputs.latency_batch_sizes().end());
  return out;
}

}  // namespace

absl::Status UnknownValue(absl::string_view field) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has a value that this worker does not know; it may be older than the ",
                   "coordinator: bring both to the same version"));
}

absl::StatusOr<MetricSpec> ConvertMetric(int metric) {
  switch (metric) {
    case v1::Task::ACCURACY:
      return MetricSpec::kAccuracy;
    case v1::Task::TOP5_ACCURACY:
      return MetricSpec::kTop5Accuracy;
    case v1::Task::LOG_LOSS:
      return MetricSpec::kLogLoss;
    case v1::Task::AUC:
      return MetricSpec::kAuc;
    case v1::Task::MEAN_SQUARED_ERROR_METRIC:
      return MetricSpec::kMeanSquaredError;
    case v1::Task::R2:
      return MetricSpec::kR2;
    default:
      return UnknownValue("spec.task.metrics");
  }
}

std::vector<std::string> DataDigests(const v1::CompressionSpec& spec) {
  std::vector<std::string> digests;
  if (!spec.has_data()) return digests;
  AddDigests(spec.data().train(), &digests);
  if (spec.data().has_evaluation()) AddDigests(spec.data().evaluation(), &digests);
  return digests;
}

absl::StatusOr<ModelFiles> ConvertModelFiles(const v1::Model& model) {
  ModelFiles out;
  std::set<std::string> seen;
  for (const v1::ModelFile& file : model.files()) {
    if (!StaysInFolder(file.path())) {
      return absl::InvalidArgumentError(absl::StrCat("spec.model.files: path \"", file.path(),
                                                     "\" does not stay in the model's folder"));
    }
    if (!IsSha256Hex(file.digest())) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.model.files: \"", file.path(), "\" has a digest that is no SHA-256"));
    }
    if (!seen.insert(file.path()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("spec.model.files: path \"", file.path(), "\" appears twice"));
    }
    if (file.main() || model.files_size() == 1) {
      if (!out.main.empty()) {
        return absl::InvalidArgumentError("spec.model.files: more than one main file");
      }
      out.main = file.path();
    }
    out.files.push_back({file.path(), file.digest()});
  }
  if (out.main.empty()) return absl::InvalidArgumentError("spec.model.files: no main file");
  return out;
}

absl::StatusOr<JobSpec> ConvertSpec(const v1::CompressionSpec& spec, const std::string& model_path,
                                    const std::map<std::string, std::string>& paths, int threads) {
  JobSpec out;
  out.model_path = model_path;
  out.dry_run = spec.dry_run();
  ASSIGN_OR_RETURN(out.method, ConvertMethod(spec));
  if (!spec.has_benchmark()) {
    ASSIGN_OR_RETURN(out.data, ConvertData(spec.data(), paths));
    ASSIGN_OR_RETURN(out.task, ConvertTask(spec, Calibrates(out.method)));
  }
  if (spec.has_target()) {
    ASSIGN_OR_RETURN(out.target, ConvertTarget(spec.target()));
  }
  out.outputs = ConvertOutputs(spec);
  out.threads = spec.placement().threads() > 0 ? spec.placement().threads() : threads;
  return out;
}

}  // namespace topiary
