#include <algorithm>
#include <set>

#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int64_t kMaxSteps = 1000000000;
constexpr int kMaxPhases = 1000;
constexpr int kMaxRounds = 1000;
constexpr int kMaxBatches = 100000;
constexpr int kMaxLatencyBatchSizes = 16;

// The stretch of training in which `schedule` prunes.
template <typename Schedule>
void CheckStretch(const Schedule& schedule, FieldChecks* check,
                  const Stretch& absent = kGradualStretch) {
  const double begin =
      schedule.has_begin_fraction() ? schedule.begin_fraction() : absent.begin_fraction;
  const double end = schedule.has_end_fraction() ? schedule.end_fraction() : absent.end_fraction;
  check->InRightOpen(begin, 0, 1, "begin_fraction");
  check->InLeftOpen(end, 0, 1, "end_fraction");
  check->That(begin < end, "end_fraction",
              absl::StrCat("must be above begin_fraction, which is ", begin));
}

// Of magnitude and power_propagation.
template <typename Method>
void ValidateSchedule(const Method& method, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (method.has_one_shot()) {
    check.InRightOpen(method.one_shot().at_fraction(), 0, 1, "one_shot.at_fraction");
  }
  if (method.has_gradual()) {
    FieldChecks gradual(check.PathOf("gradual"), violations);
    CheckStretch(method.gradual(), &gradual);
    if (method.gradual().has_refresh_steps()) {
      gradual.InRange(method.gradual().refresh_steps(), 1, kMaxSteps, "refresh_steps");
    }
  }
  if (method.has_iterative()) {
    FieldChecks iterative(check.PathOf("iterative"), violations);
    CheckStretch(method.iterative(), &iterative);
    if (method.iterative().has_rounds()) {
      iterative.InRange(method.iterative().rounds(), 1, kMaxRounds, "rounds");
    }
  }
}

void ValidatePowerPropagation(const v1::PowerPropagationMethod& method, absl::string_view path,
                              FieldViolations* violations) {
  ValidateSchedule(method, path, violations);
  FieldChecks check(path, violations);
  if (method.element().has_exponent()) {
    check.InLeftOpen(method.element().exponent(), 1, 10, "element.exponent");
  }
}

void ValidateRandom(const v1::RandomMethod& method, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.InRightOpen(method.at_fraction(), 0, 1, "at_fraction");
}

// Of methods that choose by what they saw in steps before.
template <typename Method>
void CheckScoredStretch(const Method& method, const Stretch& absent, FieldChecks* check) {
  CheckStretch(method, check, absent);
  // Before the first choice there must be a score.
  if (method.has_begin_fraction()) check->InOpen(method.begin_fraction(), 0, 1, "begin_fraction");
  if (method.has_refresh_steps()) {
    check->InRange(method.refresh_steps(), 1, kMaxSteps, "refresh_steps");
  }
}

void ValidateFisherAttention(const v1::FisherAttentionMethod& method, absl::string_view path,
                             FieldViolations* violations) {
  FieldChecks check(path, violations);
  CheckScoredStretch(method, kFisherAttentionStretch, &check);
  if (method.has_logits_learning_rate_multiplier()) {
    check.InClosed(method.logits_learning_rate_multiplier(), 0, 10000,
                   "logits_learning_rate_multiplier");
  }
  if (method.has_logits_weight_decay()) {
    check.InClosed(method.logits_weight_decay(), 0, 10, "logits_weight_decay");
  }
  if (method.has_fisher_decay()) check.InRightOpen(method.fisher_decay(), 0, 1, "fisher_decay");
}

void ValidateGroupLasso(const v1::GroupLassoMethod& method, absl::string_view path,
                        FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (method.has_strength()) check.InLeftOpen(method.strength(), 0, 1000, "strength");
  if (method.has_end_fraction()) check.InOpen(method.end_fraction(), 0, 1, "end_fraction");
}

void ValidateRigL(const v1::RigLMethod& method, absl::string_view path,
                  FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (method.has_drop_fraction()) check.InLeftOpen(method.drop_fraction(), 0, 1, "drop_fraction");
  if (method.has_update_steps()) {
    check.InRange(method.update_steps(), 2, kMaxSteps, "update_steps");
  }
  if (method.has_end_fraction()) check.InLeftOpen(method.end_fraction(), 0, 1, "end_fraction");
}

void ValidateSnip(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations) {
  if (!spec.snip().has_batches()) return;
  FieldChecks check(path, violations);
  check.InRange(spec.snip().batches(), 1, kMaxBatches, "batches");
  check.That(!spec.task().has_steps() || spec.snip().batches() < spec.task().steps(), "batches",
             "must be fewer than task.steps");
}

void ValidatePhases(const v1::PhasePlan& plan, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (!check.InRange(plan.phases_size(), 1, kMaxPhases, "phases")) return;
  double sum = 0;
  for (int i = 0; i < plan.phases_size(); ++i) {
    const v1::Phase& phase = plan.phases(i);
    FieldChecks phase_check(ElementPath(path, "phases", i), violations);
    phase_check.That(phase.kind() != v1::Phase::KIND_UNSPECIFIED, "kind",
                     "must be DENSE, SPARSIFICATION or SPARSE");
    phase_check.InLeftOpen(phase.fraction(), 0, 1, "fraction");
    sum += phase.fraction();
  }
  check.That(std::abs(sum - 1) <= 1e-6, "phases",
             absl::StrCat("the fractions must make 1 together; they make ", sum));
  check.That(plan.phases().rbegin()->kind() == v1::Phase::SPARSE, "phases",
             "the last phase must be SPARSE");
}

void ValidateAcDc(const v1::AcDcMethod& method, absl::string_view path,
                  FieldViolations* violations) {
  if (method.plan_case() != v1::AcDcMethod::kPhases) return;
  const std::string plan = JoinPath(path, "phases");
  ValidatePhases(method.phases(), plan, violations);
  for (int i = 0; i < std::min(method.phases().phases_size(), kMaxPhases); ++i) {
    FieldChecks check(ElementPath(plan, "phases", i), violations);
    check.That(method.phases().phases(i).kind() != v1::Phase::SPARSIFICATION, "kind",
               "must be DENSE or SPARSE: the method has no sparsification");
  }
}

void ValidateSequentialAttention(const v1::SequentialAttentionPlusPlusMethod& method,
                                 absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (method.plan_case() == v1::SequentialAttentionPlusPlusMethod::kPhases) {
    ValidatePhases(method.phases(), check.PathOf("phases"), violations);
  }
  if (method.has_logits_learning_rate_multiplier()) {
    check.InLeftOpen(method.logits_learning_rate_multiplier(), 0, 10000,
                     "logits_learning_rate_multiplier");
  }
  if (method.has_logits_weight_decay()) {
    check.InClosed(method.logits_weight_decay(), 0, 10, "logits_weight_decay");
  }
  constexpr absl::string_view kNothingToPrune =
      "has no effect without a SPARSIFICATION phase: leave it out, or add such a phase";
  const bool sparsifies = HasSparsificationPhase(method);
  check.That(sparsifies || !method.has_schedule_constant(), "schedule_constant", kNothingToPrune);
  check.That(sparsifies || !method.has_mask_refresh_steps(), "mask_refresh_steps", kNothingToPrune);
  if (method.has_schedule_constant()) {
    check.InLeftOpen(method.schedule_constant(), 0, 100, "schedule_constant");
  }
  if (method.has_mask_refresh_steps()) {
    check.InRange(method.mask_refresh_steps(), 1, kMaxSteps, "mask_refresh_steps");
  }
}

void ValidateLatency(const v1::CompressionSpec& spec, FieldChecks* check) {
  const v1::Outputs& outputs = spec.outputs();
  const auto& sizes = outputs.latency_batch_sizes();
  check->That(sizes.empty() || !outputs.has_latency() || outputs.latency(), "latency_batch_sizes",
              "must be empty where latency is false");
  // The batch of a latency budget is added to those that are given.
  const int32_t budget_batch =
      spec.target().has_latency() ? std::max(1, spec.target().latency().batch_size()) : 0;
  const bool adds_one =
      budget_batch > 0 && std::find(sizes.begin(), sizes.end(), budget_batch) == sizes.end();
  check->That(sizes.size() + (adds_one ? 1 : 0) <= kMaxLatencyBatchSizes, "latency_batch_sizes",
              "must have at most 16 entries, that of a latency budget included");
  std::set<int32_t> seen;
  for (int i = 0; i < std::min(sizes.size(), kMaxLatencyBatchSizes); ++i) {
    const std::string field = absl::StrCat("latency_batch_sizes[", i, "]");
    check->InRange(sizes[i], 1, 65536, field);
    check->That(seen.insert(sizes[i]).second, field, "is named twice");
  }
}

void ValidateOutputs(const v1::CompressionSpec& spec, absl::string_view path,
                     FieldViolations* violations) {
  const v1::Outputs& outputs = spec.outputs();
  FieldChecks check(path, violations);
  const bool trains = !spec.has_evaluate() && !spec.has_benchmark();
  check.That(!outputs.onnx() || trains, "onnx", "the method makes no model");
  check.That(!(outputs.block_sparse() && !Prunes(spec)), "block_sparse",
             "needs a method that prunes");
  check.That(!outputs.block_sparse() || !HasStructure(spec.target()), "block_sparse",
             "a structure has no blocks: outputs.onnx has the narrower model");
  check.That(!outputs.keep_checkpoint() || trains, "keep_checkpoint",
             "the method writes no checkpoint");
  check.That(!(outputs.train_dense_comparison() && !Prunes(spec)), "train_dense_comparison",
             "needs a method that prunes");
  const bool off = outputs.has_latency() && !outputs.latency();
  check.That(!off || !spec.has_benchmark(), "latency", "is all that method benchmark does");
  check.That(!off || !spec.target().has_latency(), "latency",
             "must not be false with a latency budget, which it proves");
  ValidateLatency(spec, &check);
}

}  // namespace

void ValidateMethod(const v1::CompressionSpec& spec, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (spec.has_magnitude()) {
    ValidateSchedule(spec.magnitude(), check.PathOf("magnitude"), violations);
  }
  if (spec.has_ac_dc()) ValidateAcDc(spec.ac_dc(), check.PathOf("ac_dc"), violations);
  if (spec.has_fisher_attention()) {
    ValidateFisherAttention(spec.fisher_attention(), check.PathOf("fisher_attention"), violations);
  }
  if (spec.has_group_lasso()) {
    ValidateGroupLasso(spec.group_lasso(), check.PathOf("group_lasso"), violations);
  }
  if (spec.has_iht()) {
    FieldChecks iht(check.PathOf("iht"), violations);
    CheckStretch(spec.iht(), &iht);
  }
  if (spec.has_movement()) {
    FieldChecks movement(check.PathOf("movement"), violations);
    CheckScoredStretch(spec.movement(), kGradualStretch, &movement);
  }
  if (spec.has_power_propagation()) {
    ValidatePowerPropagation(spec.power_propagation(), check.PathOf("power_propagation"),
                             violations);
  }
  if (spec.has_feature_selection()) {
    ValidateFeatureSelection(spec, check.PathOf("feature_selection"), violations);
    check.That(!spec.task().has_distillation(), "task.distillation",
               "the network on the chosen features starts afresh: leave it out");
  }
  if (spec.has_random()) ValidateRandom(spec.random(), check.PathOf("random"), violations);
  if (spec.has_rigl()) ValidateRigL(spec.rigl(), check.PathOf("rigl"), violations);
  if (spec.has_snip()) ValidateSnip(spec, check.PathOf("snip"), violations);
  if (spec.has_sequential_attention_pp()) {
    ValidateSequentialAttention(spec.sequential_attention_pp(),
                                check.PathOf("sequential_attention_pp"), violations);
  }
  ValidateCalibration(spec, path, violations);
  ValidateTarget(spec, path, violations);
  check.That(!spec.dry_run() || !(spec.has_evaluate() || spec.has_benchmark()), "dry_run",
             "the method trains nothing: leave dry_run out");
  ValidateOutputs(spec, check.PathOf("outputs"), violations);
}

}  // namespace topiary
