// A job's task in the engine's terms.
//
// Pure functions; thread-safe.
#ifndef TOPIARY_WORKER_PIPELINE_TASK_H_
#define TOPIARY_WORKER_PIPELINE_TASK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/engine/learning_rate.h"
#include "worker/engine/metrics.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_spec.h"
#include "worker/prune/budget.h"
#include "worker/prune/method_registry.h"

namespace topiary {

// Values of metrics by the names that reports use: accuracy, top5_accuracy, log_loss, auc,
// mean_squared_error, r2.
using MetricValues = std::map<std::string, double>;

LossKind LossKindOf(LossSpec loss);

Precision PrecisionOf(PrecisionSpec precision);

// Biases and the parameters of BatchNormalization do not decay.
OptimizerOptions OptimizerOptionsOf(const OptimizerSpec& optimizer);

LearningRateSchedule LearningRateScheduleOf(const LearningRateSpec& spec, int64_t total_steps);

// The metrics asked for; where none is, the usual ones of the loss.
std::vector<MetricSpec> MetricsOrDefaults(const std::vector<MetricSpec>& metrics, LossSpec loss);

absl::string_view MetricName(MetricSpec metric);
std::unique_ptr<Metric> NewMetricOf(MetricSpec metric);

// Steps of the whole run, where an epoch has `batches_per_epoch`.
// INVALID_ARGUMENT where the spec gives none, or more than 10^12.
absl::StatusOr<int64_t> TotalSteps(const TaskSpec& task, int64_t batches_per_epoch);

// The name of its field in the spec, such as "magnitude".
absl::string_view MethodName(const MethodSpec& method);

// Whether the method prunes by calibration examples, before any training (pipeline/calibration.h).
bool Calibrates(const MethodSpec& method);

PruningTarget PruningTargetOf(const PruningTargetSpec& target);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_TASK_H_
