#include <set>

#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int64_t kMaxSteps = 1000000000;

// What the worker reckons with in float must be in its range as such too.
void CheckFactor(double value, absl::string_view field, FieldChecks* check) {
  check->That(0 <= value && static_cast<float>(value) < 1, field,
              "must lie in [0, 1), and still be below 1 as a float");
}

// Adam and AdamW have the same fields.
template <typename AdamMessage>
void ValidateAdam(const AdamMessage& adam, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (adam.has_beta1()) CheckFactor(adam.beta1(), "beta1", &check);
  if (adam.has_beta2()) CheckFactor(adam.beta2(), "beta2", &check);
  if (adam.has_epsilon()) {
    check.That(static_cast<float>(adam.epsilon()) > 0 && adam.epsilon() <= 1, "epsilon",
               "must lie in (0, 1], and still be above 0 as a float");
  }
}

void ValidateOptimizer(const v1::Optimizer& optimizer, absl::string_view path,
                       FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (optimizer.has_weight_decay()) {
    check.InClosed(optimizer.weight_decay(), 0, 10, "weight_decay");
  }
  if (optimizer.has_sgd()) {
    const v1::Sgd& sgd = optimizer.sgd();
    FieldChecks sgd_check(check.PathOf("sgd"), violations);
    if (sgd.has_momentum()) CheckFactor(sgd.momentum(), "momentum", &sgd_check);
    const bool has_momentum = !sgd.has_momentum() || static_cast<float>(sgd.momentum()) != 0;
    sgd_check.That(!sgd.nesterov() || has_momentum, "nesterov", "needs a momentum above 0");
  }
  if (optimizer.has_adam()) ValidateAdam(optimizer.adam(), check.PathOf("adam"), violations);
  if (optimizer.has_adamw()) ValidateAdam(optimizer.adamw(), check.PathOf("adamw"), violations);
}

void ValidateStepSchedule(const v1::StepSchedule& step, absl::string_view path,
                          FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (step.has_factor()) check.InLeftOpen(step.factor(), 0, 1, "factor");
  check.InRange(step.milestones_size(), 1, 100, "milestones");
  for (int i = 0; i < step.milestones_size(); ++i) {
    const std::string field = absl::StrCat("milestones[", i, "]");
    check.InOpen(step.milestones(i), 0, 1, field);
    check.That(i == 0 || step.milestones(i - 1) < step.milestones(i), field,
               "must be above the one before");
  }
}

void ValidateLearningRate(const v1::LearningRate& rate, absl::string_view path,
                          FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (rate.has_base()) check.InLeftOpen(rate.base(), 0, 1000, "base");
  check.InRange(rate.warmup_steps(), 0, kMaxSteps, "warmup_steps");
  if (rate.has_step()) ValidateStepSchedule(rate.step(), check.PathOf("step"), violations);
  if (rate.has_cosine() && rate.cosine().has_final_fraction()) {
    check.InClosed(rate.cosine().final_fraction(), 0, 1, "cosine.final_fraction");
  }
  if (rate.has_linear() && rate.linear().has_final_fraction()) {
    check.InClosed(rate.linear().final_fraction(), 0, 1, "linear.final_fraction");
  }
}

// Whether `metric` can be measured on a network trained with `loss`.
bool Suits(v1::Task::Metric metric, v1::Task::Loss loss) {
  switch (metric) {
    case v1::Task::ACCURACY:
    case v1::Task::LOG_LOSS:
      return loss != v1::Task::MEAN_SQUARED_ERROR;
    case v1::Task::TOP5_ACCURACY:
      return loss == v1::Task::CROSS_ENTROPY;
    case v1::Task::AUC:
      return loss == v1::Task::BINARY_CROSS_ENTROPY;
    case v1::Task::MEAN_SQUARED_ERROR_METRIC:
    case v1::Task::R2:
      return loss == v1::Task::MEAN_SQUARED_ERROR;
    default:
      return false;
  }
}

void ValidateMetrics(const v1::Task& task, FieldViolations* violations, FieldChecks* check) {
  const v1::Task::Loss loss =
      task.loss() == v1::Task::LOSS_UNSPECIFIED ? v1::Task::CROSS_ENTROPY : task.loss();
  std::set<int> seen;
  for (int i = 0; i < task.metrics_size(); ++i) {
    const std::string path = check->PathOf(absl::StrCat("metrics[", i, "]"));
    const v1::Task::Metric metric = v1::Task::Metric(task.metrics(i));
    violations->Check(seen.insert(metric).second, path, "is named twice");
    violations->Check(Suits(metric, loss), path,
                      absl::StrCat("cannot be measured with loss ", v1::Task::Loss_Name(loss)));
  }
}

// What only training reads, for a method that does not train.
void RefuseTraining(const v1::CompressionSpec& spec, FieldChecks* check) {
  const v1::Task& task = spec.task();
  const absl::string_view why = spec.has_evaluate()
                                    ? "method evaluate trains nothing: leave it out"
                                    : "this method trains only where it is told how long: set "
                                      "epochs or steps, or leave it out";
  check->That(!task.has_optimizer(), "optimizer", why);
  check->That(!task.has_learning_rate(), "learning_rate", why);
  check->That(!task.has_clip_gradient_norm(), "clip_gradient_norm", why);
  check->That(!task.has_epochs(), "epochs", why);
  check->That(!task.has_steps(), "steps", why);
  check->That(!task.has_distillation(), "distillation", why);
}

void ValidateDistillation(const v1::Task& task, absl::string_view path,
                          FieldViolations* violations) {
  constexpr int kMostFeatures = 64;
  const v1::Distillation& distillation = task.distillation();
  FieldChecks check(path, violations);
  if (distillation.has_weight()) check.InClosed(distillation.weight(), 0, 1, "weight");
  if (distillation.has_temperature()) {
    check.InLeftOpen(distillation.temperature(), 0, 100, "temperature");
    check.That(task.loss() != v1::Task::MEAN_SQUARED_ERROR, "temperature",
               "is not read with MEAN_SQUARED_ERROR: leave it out");
  }
  check.That(distillation.features_size() <= kMostFeatures, "features",
             absl::StrCat("must be at most ", kMostFeatures));
  std::set<std::string> seen;
  for (int i = 0; i < distillation.features_size(); ++i) {
    const v1::DistilledFeature& feature = distillation.features(i);
    FieldChecks feature_check(check.PathOf(absl::StrCat("features[", i, "]")), violations);
    feature_check.That(!feature.value().empty(), "value", "must name a value of the model");
    feature_check.That(seen.insert(feature.value()).second, "value", "is named twice");
    if (feature.has_weight()) feature_check.InLeftOpen(feature.weight(), 0, 1e6, "weight");
  }
}

void ValidateTraining(const v1::Task& task, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  ValidateOptimizer(task.optimizer(), check.PathOf("optimizer"), violations);
  ValidateLearningRate(task.learning_rate(), check.PathOf("learning_rate"), violations);
  if (task.has_clip_gradient_norm()) {
    check.That(task.clip_gradient_norm() > 0, "clip_gradient_norm", "must be above 0");
  }
  if (task.has_distillation()) {
    ValidateDistillation(task, check.PathOf("distillation"), violations);
  }
  if (task.length_case() == v1::Task::kEpochs) check.InRange(task.epochs(), 1, 100000, "epochs");
  if (task.length_case() == v1::Task::kSteps) {
    check.InRange(task.steps(), 1, kMaxSteps, "steps");
    check.That(task.learning_rate().warmup_steps() < task.steps(), "learning_rate.warmup_steps",
               "must be fewer than task.steps");
  }
}

}  // namespace

void ValidateTask(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations) {
  const v1::Task& task = spec.task();
  FieldChecks check(path, violations);
  if (Trains(spec)) {
    ValidateTraining(task, path, violations);
  } else {
    RefuseTraining(spec, &check);
  }
  check.ZeroOrInRange(task.batch_size(), 1, 65536, "batch_size");
  ValidateMetrics(task, violations, &check);
}

}  // namespace topiary
