#include "worker/pipeline/task.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/prune/calibration.h"

namespace topiary {
namespace {

struct MetricNames {
  MetricSpec metric;
  const char* reported;
  const char* engine;
};
constexpr MetricNames kMetrics[] = {
    {MetricSpec::kAccuracy, "accuracy", "accuracy"},
    {MetricSpec::kTop5Accuracy, "top5_accuracy", "top_5"},
    {MetricSpec::kLogLoss, "log_loss", "log_loss"},
    {MetricSpec::kAuc, "auc", "auc"},
    {MetricSpec::kMeanSquaredError, "mean_squared_error", "mse"},
    {MetricSpec::kR2, "r2", "r2"},
};

const MetricNames& NamesOf(MetricSpec metric) {
  for (const MetricNames& names : kMetrics) {
    if (names.metric == metric) return names;
  }
  CHECK(false) << "unknown metric " << static_cast<int>(metric);
  return kMetrics[0];
}

}  // namespace

LossKind LossKindOf(LossSpec loss) {
  switch (loss) {
    case LossSpec::kCrossEntropy:
      return LossKind::kSoftmaxCrossEntropy;
    case LossSpec::kBinaryCrossEntropy:
      return LossKind::kBinaryCrossEntropy;
    case LossSpec::kMeanSquaredError:
      return LossKind::kMeanSquaredError;
  }
  return LossKind::kNone;
}

Precision PrecisionOf(PrecisionSpec precision) {
  switch (precision) {
    case PrecisionSpec::kFloat32:
      return Precision::kFloat32;
    case PrecisionSpec::kBfloat16:
      return Precision::kBfloat16;
  }
  return Precision::kFloat32;
}

OptimizerOptions OptimizerOptionsOf(const OptimizerSpec& optimizer) {
  OptimizerOptions options;
  switch (optimizer.kind) {
    case OptimizerSpec::Kind::kSgd:
      options.kind = OptimizerKind::kSgd;
      options.momentum = static_cast<float>(optimizer.momentum);
      options.nesterov = optimizer.nesterov;
      break;
    case OptimizerSpec::Kind::kAdam:
      options.kind = OptimizerKind::kAdam;
      break;
    case OptimizerSpec::Kind::kAdamW:
      options.kind = OptimizerKind::kAdamW;
      break;
  }
  options.beta1 = static_cast<float>(optimizer.beta1);
  options.beta2 = static_cast<float>(optimizer.beta2);
  options.epsilon = static_cast<float>(optimizer.epsilon);
  options.weight_decay = static_cast<float>(optimizer.weight_decay);
  options.decay_vectors = false;
  return options;
}

LearningRateSchedule LearningRateScheduleOf(const LearningRateSpec& spec, int64_t total_steps) {
  LearningRateSchedule schedule;
  switch (spec.schedule) {
    case LearningRateSpec::Schedule::kConstant:
      schedule.kind = LearningRateKind::kConstant;
      break;
    case LearningRateSpec::Schedule::kStep:
      schedule.kind = LearningRateKind::kStep;
      break;
    case LearningRateSpec::Schedule::kCosine:
      schedule.kind = LearningRateKind::kCosine;
      break;
    case LearningRateSpec::Schedule::kLinear:
      schedule.kind = LearningRateKind::kLinear;
      break;
  }
  schedule.base = spec.base;
  schedule.warmup_steps = spec.warmup_steps;
  schedule.total_steps = total_steps;
  schedule.factor = spec.step_factor;
  schedule.milestones = spec.step_milestones;
  schedule.final_fraction = spec.final_fraction;
  return schedule;
}

std::vector<MetricSpec> MetricsOrDefaults(const std::vector<MetricSpec>& metrics, LossSpec loss) {
  if (!metrics.empty()) return metrics;
  switch (loss) {
    case LossSpec::kCrossEntropy:
      return {MetricSpec::kAccuracy, MetricSpec::kLogLoss};
    case LossSpec::kBinaryCrossEntropy:
      return {MetricSpec::kAccuracy, MetricSpec::kLogLoss, MetricSpec::kAuc};
    case LossSpec::kMeanSquaredError:
      return {MetricSpec::kMeanSquaredError, MetricSpec::kR2};
  }
  return {};
}

absl::string_view MetricName(MetricSpec metric) { return NamesOf(metric).reported; }

std::unique_ptr<Metric> NewMetricOf(MetricSpec metric) {
  absl::StatusOr<std::unique_ptr<Metric>> made = NewMetric(NamesOf(metric).engine);
  CHECK_OK(made.status());
  return *std::move(made);
}

absl::StatusOr<int64_t> TotalSteps(const TaskSpec& task, int64_t batches_per_epoch) {
  constexpr int64_t kMaxSteps = 1'000'000'000'000;
  if (task.steps > 0 && task.steps <= kMaxSteps) return task.steps;
  if (task.steps > kMaxSteps || task.epochs < 1 || task.epochs > kMaxSteps / batches_per_epoch) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec.task: ", task.epochs, " epochs of ", batches_per_epoch, " batches or ",
                     task.steps, " steps are not between 1 and ", kMaxSteps, " steps"));
  }
  return task.epochs * batches_per_epoch;
}

absl::string_view MethodName(const MethodSpec& method) {
  if (std::holds_alternative<EvaluateSpec>(method)) return "evaluate";
  if (std::holds_alternative<BenchmarkSpec>(method)) return "benchmark";
  if (std::holds_alternative<FeatureSelectionSpec>(method)) return "feature_selection";
  return RegisteredName(std::get<MethodOptions>(method));
}

bool Calibrates(const MethodSpec& method) {
  const auto* options = std::get_if<MethodOptions>(&method);
  return options != nullptr && CalibrationOptionsOf(*options) != nullptr;
}

PruningTarget PruningTargetOf(const PruningTargetSpec& target) {
  PruningTarget out;
  out.sparsity = target.sparsity;
  if (target.latency.has_value() || target.size.has_value()) out.sparsity.reset();
  out.block = {target.block_rows, target.block_cols};
  out.n_of_m = target.n_of_m;
  out.budget = target.budget;
  out.include_layers = target.include_layers;
  out.exclude_layers = target.exclude_layers;
  out.layer_targets = target.layer_targets;
  out.min_blocks = target.min_blocks;
  out.structure = target.structure;
  out.min_candidates = target.min_candidates;
  out.protect_first = target.protect_first;
  out.protect_last = target.protect_last;
  return out;
}

}  // namespace topiary
