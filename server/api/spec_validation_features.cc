#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int kMaxCount = 1000000;
constexpr int kMaxGroups = 10000;
constexpr int kMaxColumns = 100000;
constexpr size_t kMaxNameBytes = 255;

template <typename Selector>
void CheckFeaturesPerStep(const Selector& selector, int32_t count, FieldChecks* check) {
  if (!selector.has_features_per_step()) return;
  check->InRange(selector.features_per_step(), 1, std::max(1, count), "features_per_step");
}

template <typename Selector>
void CheckStrength(const Selector& selector, FieldChecks* check) {
  if (selector.has_strength()) check->InLeftOpen(selector.strength(), 0, 1000, "strength");
}

void ValidateSequentialAttentionSelector(const v1::SequentialAttentionSelector& selector,
                                         int32_t count, absl::string_view path,
                                         FieldViolations* violations) {
  FieldChecks check(path, violations);
  CheckFeaturesPerStep(selector, count, &check);
  check.InRightOpen(selector.warmup_fraction(), 0, 1, "warmup_fraction");
  if (selector.has_logits_learning_rate_multiplier()) {
    check.InLeftOpen(selector.logits_learning_rate_multiplier(), 0, 10000,
                     "logits_learning_rate_multiplier");
  }
}

void ValidateOmp(const v1::OmpSelector& selector, int32_t count, absl::string_view path,
                 FieldViolations* violations) {
  FieldChecks check(path, violations);
  CheckFeaturesPerStep(selector, count, &check);
  if (selector.has_gradient_batches()) {
    check.InRange(selector.gradient_batches(), 1, 100000, "gradient_batches");
  }
}

// The multiplier of a learning rate.
void CheckMultiplier(bool has, double value, absl::string_view field, FieldChecks* check) {
  if (has) check->InLeftOpen(value, 0, 10000, field);
}

void ValidateStochasticGates(const v1::StochasticGatesSelector& selector, absl::string_view path,
                             FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (selector.has_strength()) check.InClosed(selector.strength(), 0, 1000, "strength");
  if (selector.has_deviation()) check.InLeftOpen(selector.deviation(), 0, 10, "deviation");
  CheckMultiplier(selector.has_gates_learning_rate_multiplier(),
                  selector.gates_learning_rate_multiplier(), "gates_learning_rate_multiplier",
                  &check);
}

void ValidateConcreteAutoencoder(const v1::ConcreteAutoencoderSelector& selector,
                                 absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  const double start = selector.has_start_temperature() ? selector.start_temperature() : 10;
  // The end, which is not above the start, has the same least.
  if (check.InClosed(start, 1e-4, 1000, "start_temperature") && selector.has_end_temperature()) {
    check.InClosed(selector.end_temperature(), 1e-4, start, "end_temperature");
  }
  CheckMultiplier(selector.has_logits_learning_rate_multiplier(),
                  selector.logits_learning_rate_multiplier(), "logits_learning_rate_multiplier",
                  &check);
}

void ValidateGroups(const v1::FeatureSelectionMethod& method, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (!check.That(method.groups_size() <= kMaxGroups, "groups",
                  "must have at most 10000 entries")) {
    return;
  }
  std::set<std::pair<std::string, int32_t>> seen;
  std::set<std::string> names;
  for (int i = 0; i < method.groups_size(); ++i) {
    const v1::FeatureGroup& group = method.groups(i);
    FieldChecks group_check(ElementPath(path, "groups", i), violations);
    group_check.That(!group.name().empty() && group.name().size() <= kMaxNameBytes, "name",
                     "must have 1 to 255 bytes");
    group_check.That(names.insert(group.name()).second, "name",
                     "is that of another group already: the report could not tell them apart");
    group_check.That(group.input().size() <= kMaxNameBytes, "input", "must have at most 255 bytes");
    if (!group_check.InRange(group.columns_size(), 1, kMaxColumns, "columns")) continue;
    for (int j = 0; j < group.columns_size(); ++j) {
      const std::string field = absl::StrCat("columns[", j, "]");
      if (!group_check.That(group.columns(j) >= 0, field, "must be at least 0")) continue;
      group_check.That(seen.insert({group.input(), group.columns(j)}).second, field,
                       "is in a group already");
    }
  }
}

}  // namespace

void ValidateFeatureSelection(const v1::CompressionSpec& spec, absl::string_view path,
                              FieldViolations* violations) {
  const v1::FeatureSelectionMethod& method = spec.feature_selection();
  FieldChecks check(path, violations);
  check.InRange(method.count(), 1, kMaxCount, "count");
  if (method.has_sequential_attention()) {
    ValidateSequentialAttentionSelector(method.sequential_attention(), method.count(),
                                        check.PathOf("sequential_attention"), violations);
  }
  if (method.has_omp()) {
    ValidateOmp(method.omp(), method.count(), check.PathOf("omp"), violations);
  }
  if (method.has_sequential_lasso()) {
    FieldChecks lasso(check.PathOf("sequential_lasso"), violations);
    CheckFeaturesPerStep(method.sequential_lasso(), method.count(), &lasso);
    CheckStrength(method.sequential_lasso(), &lasso);
  }
  if (method.has_group_lasso()) {
    FieldChecks lasso(check.PathOf("group_lasso"), violations);
    CheckStrength(method.group_lasso(), &lasso);
  }
  if (method.has_liao_latty_yang()) {
    FieldChecks lly(check.PathOf("liao_latty_yang"), violations);
    CheckMultiplier(method.liao_latty_yang().has_mask_learning_rate_multiplier(),
                    method.liao_latty_yang().mask_learning_rate_multiplier(),
                    "mask_learning_rate_multiplier", &lly);
  }
  if (method.has_stochastic_gates()) {
    ValidateStochasticGates(method.stochastic_gates(), check.PathOf("stochastic_gates"),
                            violations);
  }
  if (method.has_concrete_autoencoder()) {
    ValidateConcreteAutoencoder(method.concrete_autoencoder(), check.PathOf("concrete_autoencoder"),
                                violations);
  }
  constexpr absl::string_view kNoTraining = "the selector trains nothing: leave it out";
  if (method.has_epochs()) {
    check.InRange(method.epochs(), 1, 100000, "epochs");
    check.That(TrainsToSelect(method), "epochs", kNoTraining);
  }
  if (method.has_steps()) {
    if (check.InRange(method.steps(), 1, 1000000000, "steps")) {
      check.That(spec.task().learning_rate().warmup_steps() < method.steps(), "steps",
                 "must be more than task.learning_rate.warmup_steps");
    }
    check.That(TrainsToSelect(method), "steps", kNoTraining);
  }
  ValidateGroups(method, path, violations);
}

}  // namespace topiary
