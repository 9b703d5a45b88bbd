#include <algorithm>
#include <cmath>
#include <set>

#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int64_t kMaxSteps = 1000000000;
constexpr int kMaxPhases = 1000;
constexpr int kMaxRounds = 1000;
constexpr int kMaxBatches = 100000;
constexpr int kMaxPatterns = 1000;
constexpr size_t kMaxPatternBytes = 255;
constexpr int kMaxLatencyBatchSizes = 16;
constexpr int kMaxCurvePoints = 100;
constexpr int64_t kMaxCount = int64_t{1} << 60;

// The stretch of training in which `schedule` prunes.
template <typename Schedule>
void CheckStretch(const Schedule& schedule, FieldChecks* check) {
  const double begin = schedule.has_begin_fraction() ? schedule.begin_fraction() : 0.2;
  const double end = schedule.has_end_fraction() ? schedule.end_fraction() : 0.7;
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
void CheckScoredStretch(const Method& method, FieldChecks* check) {
  CheckStretch(method, check);
  // Before the first choice there must be a score.
  if (method.has_begin_fraction()) check->InOpen(method.begin_fraction(), 0, 1, "begin_fraction");
  if (method.has_refresh_steps()) {
    check->InRange(method.refresh_steps(), 1, kMaxSteps, "refresh_steps");
  }
}

void ValidateFisherAttention(const v1::FisherAttentionMethod& method, absl::string_view path,
                             FieldViolations* violations) {
  FieldChecks check(path, violations);
  CheckScoredStretch(method, &check);
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
    check.InRange(method.update_steps(), 1, kMaxSteps, "update_steps");
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

template <typename Patterns>
void ValidatePatterns(const Patterns& patterns, absl::string_view field, FieldChecks* check) {
  check->That(patterns.size() <= kMaxPatterns, field, "must have at most 1000 entries");
  for (int i = 0; i < std::min<int>(patterns.size(), kMaxPatterns); ++i) {
    check->That(!patterns[i].empty() && patterns[i].size() <= kMaxPatternBytes,
                absl::StrCat(field, "[", i, "]"), "must have 1 to 255 bytes");
  }
}

// Blocks or a structure, not a part of each.
void ValidateStructure(const v1::PruningTarget& target, FieldChecks* check) {
  if (target.structure() == v1::PruningTarget::STRUCTURE_UNSPECIFIED) {
    check->That(target.min_candidates() == 0, "min_candidates",
                "needs a structure: blocks have min_blocks");
    return;
  }
  constexpr absl::string_view kNoBlocks = "must be left out with a structure, which has no blocks";
  check->That(target.block_rows() == 0, "block_rows", kNoBlocks);
  check->That(target.block_cols() == 0, "block_cols", kNoBlocks);
  check->That(target.min_blocks() == 0, "min_blocks",
              "must be left out with a structure: use min_candidates");
  using Target = v1::PruningTarget;
  constexpr absl::string_view kOfBlocks = "must be left out with a structure";
  check->That(!target.has_latency(), "latency", kOfBlocks);
  check->That(!target.has_n_of_m(), "n_of_m", kOfBlocks);
  check->That(!target.has_parameters(), "parameters", kOfBlocks);
  check->That(!target.has_bytes(), "bytes", kOfBlocks);
  check->That(!target.has_flops(), "flops", kOfBlocks);
  check->That(target.layer_targets().empty(), "layer_targets", kOfBlocks);
  check->That(target.budget() != Target::ERK && target.budget() != Target::SENSITIVITY, "budget",
              "must be UNIFORM or GLOBAL with a structure");
  check->ZeroOrInRange(target.min_candidates(), 1, 1000000000, "min_candidates");
}

// Of those that a model has in a row.
void ValidateProtection(const v1::PruningTarget& target, FieldChecks* check) {
  const bool in_a_row = target.structure() == v1::PruningTarget::BRANCHES ||
                        target.structure() == v1::PruningTarget::TRANSFORMER_LAYERS;
  constexpr absl::string_view kNotInARow = "needs structure BRANCHES or TRANSFORMER_LAYERS";
  check->That(in_a_row || !target.has_protect_first(), "protect_first", kNotInARow);
  check->That(in_a_row || !target.has_protect_last(), "protect_last", kNotInARow);
  if (target.has_protect_first()) {
    check->InRange(target.protect_first(), 0, 1000000, "protect_first");
  }
  if (target.has_protect_last()) check->InRange(target.protect_last(), 0, 1000000, "protect_last");
}

bool PrunesStructures(const v1::CompressionSpec& spec) {
  return spec.method_case() == v1::CompressionSpec::METHOD_NOT_SET ||
         spec.has_sequential_attention_pp() || spec.has_fisher_attention() ||
         spec.has_magnitude() || spec.has_movement() || spec.has_snip() || spec.has_ac_dc() ||
         spec.has_random();
}

void ValidateNOfM(const v1::PruningTarget& target, FieldChecks* check,
                  FieldViolations* violations) {
  FieldChecks n_of_m(check->PathOf("n_of_m"), violations);
  n_of_m.InRange(target.n_of_m().m(), 2, 1024, "m");
  n_of_m.That(target.n_of_m().n() >= 1 && target.n_of_m().n() < target.n_of_m().m(), "n",
              "must be at least 1, and less than m");
  constexpr absl::string_view kSingle =
      "must be 1 with n_of_m, which prunes single weights: leave it out";
  check->That(target.block_rows() <= 1, "block_rows", kSingle);
  check->That(target.block_cols() <= 1, "block_cols", kSingle);
  check->That(target.budget() == v1::PruningTarget::BUDGET_UNSPECIFIED ||
                  target.budget() == v1::PruningTarget::UNIFORM,
              "budget", "must be UNIFORM with n_of_m, which keeps as much of each layer");
  check->That(target.layer_targets().empty(), "layer_targets",
              "must be left out with n_of_m, which keeps as much of each layer");
}

void ValidateSizeBudget(const v1::SizeBudget& budget, absl::string_view path,
                        FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (budget.has_ratio()) {
    check.InOpen(budget.ratio(), 0, 1, "ratio");
  } else if (budget.has_count()) {
    check.InRange(budget.count(), 1, kMaxCount, "count");
  } else {
    check.That(false, "ratio", "must lie in (0, 1), or give a count");
  }
}

void ValidateAmount(const v1::PruningTarget& target, FieldChecks* check,
                    FieldViolations* violations) {
  using Target = v1::PruningTarget;
  switch (target.amount_case()) {
    case Target::kSparsity:
      check->InOpen(target.sparsity(), 0, 1, "sparsity");
      return;
    case Target::kLatency: {
      FieldChecks latency(check->PathOf("latency"), violations);
      latency.InOpen(target.latency().ratio(), 0, 1, "ratio");
      latency.ZeroOrInRange(target.latency().batch_size(), 1, 65536, "batch_size");
      check->That(target.budget() == Target::BUDGET_UNSPECIFIED, "budget",
                  "must be left out with a latency budget");
      return;
    }
    case Target::kParameters:
      ValidateSizeBudget(target.parameters(), check->PathOf("parameters"), violations);
      return;
    case Target::kBytes:
      ValidateSizeBudget(target.bytes(), check->PathOf("bytes"), violations);
      return;
    case Target::kFlops:
      ValidateSizeBudget(target.flops(), check->PathOf("flops"), violations);
      check->That(target.budget() != Target::GLOBAL, "budget",
                  "must be another than GLOBAL with flops: how many operations a block takes "
                  "depends on its layer, and which layers keep how many is not known before");
      return;
    case Target::kNOfM:
      ValidateNOfM(target, check, violations);
      return;
    case Target::AMOUNT_NOT_SET:
      check->That(
          false, "sparsity",
          "must lie in (0, 1), or give n_of_m, or a budget of latency, parameters, bytes or "
          "flops");
  }
}

void ValidateLayerTargets(const v1::PruningTarget& target, absl::string_view path,
                          FieldViolations* violations) {
  FieldChecks all(path, violations);
  all.That(target.layer_targets_size() <= kMaxPatterns, "layer_targets",
           "must have at most 1000 entries");
  for (int i = 0; i < std::min(target.layer_targets_size(), kMaxPatterns); ++i) {
    const v1::LayerTarget& layer = target.layer_targets(i);
    FieldChecks check(ElementPath(path, "layer_targets", i), violations);
    check.That(!layer.pattern().empty() && layer.pattern().size() <= kMaxPatternBytes, "pattern",
               "must have 1 to 255 bytes");
    const bool bounds = layer.has_min_sparsity() || layer.has_max_sparsity();
    check.That(layer.has_sparsity() != bounds, "sparsity",
               "must be given, or else min_sparsity or max_sparsity");
    if (layer.has_sparsity()) check.InRightOpen(layer.sparsity(), 0, 1, "sparsity");
    if (layer.has_min_sparsity()) check.InRightOpen(layer.min_sparsity(), 0, 1, "min_sparsity");
    if (layer.has_max_sparsity()) {
      check.InClosed(layer.max_sparsity(), 0, 1, "max_sparsity");
      check.That(layer.min_sparsity() <= layer.max_sparsity(), "max_sparsity",
                 "must be at least min_sparsity");
    }
  }
}

void ValidateSensitivity(const v1::PruningTarget& target, absl::string_view path,
                         FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (!target.has_sensitivity()) return;
  check.That(target.budget() == v1::PruningTarget::SENSITIVITY, "sensitivity",
             "must be left out unless budget is SENSITIVITY");
  FieldChecks sensitivity(check.PathOf("sensitivity"), violations);
  sensitivity.ZeroOrInRange(target.sensitivity().examples(), 1, 1000000, "examples");
  const auto& sparsities = target.sensitivity().sparsities();
  sensitivity.That(sparsities.size() <= kMaxCurvePoints, "sparsities",
                   "must have at most 100 entries");
  for (int i = 0; i < std::min(sparsities.size(), kMaxCurvePoints); ++i) {
    const std::string field = absl::StrCat("sparsities[", i, "]");
    sensitivity.InOpen(sparsities[i], 0, 1, field);
    sensitivity.That(i == 0 || sparsities[i - 1] < sparsities[i], field,
                     "must be above the one before it");
  }
}

void ValidateAccuracyBound(const v1::CompressionSpec& spec, absl::string_view path,
                           FieldViolations* violations) {
  using Bound = v1::AccuracyBound;
  const Bound& bound = spec.target().accuracy_bound();
  FieldChecks check(path, violations);
  v1::Task task = spec.task();
  FillMetrics(&task);
  const auto& metrics = task.metrics();
  check.That(bound.metric() == v1::Task::METRIC_UNSPECIFIED ||
                 std::find(metrics.begin(), metrics.end(), bound.metric()) != metrics.end(),
             "metric", "must be one of task.metrics");
  constexpr double kLargest = 1e9;
  switch (bound.limit_case()) {
    case Bound::kValue:
      check.InClosed(bound.value(), -kLargest, kLargest, "value");
      return;
    case Bound::kMaxDropFromGiven:
      check.InClosed(bound.max_drop_from_given(), 0, kLargest, "max_drop_from_given");
      return;
    case Bound::kMaxDropFromDense:
      check.InClosed(bound.max_drop_from_dense(), 0, kLargest, "max_drop_from_dense");
      check.That(spec.outputs().train_dense_comparison(), "max_drop_from_dense",
                 "needs outputs.train_dense_comparison");
      return;
    case Bound::LIMIT_NOT_SET:
      check.That(false, "value", "must be given, or a drop");
  }
}

void ValidateTarget(const v1::PruningTarget& target, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  ValidateAmount(target, &check, violations);
  ValidateLayerTargets(target, path, violations);
  ValidateSensitivity(target, path, violations);
  check.ZeroOrInRange(target.block_rows(), 1, 4096, "block_rows");
  check.ZeroOrInRange(target.block_cols(), 1, 4096, "block_cols");
  check.ZeroOrInRange(target.min_blocks(), 1, 1000000000, "min_blocks");
  if (target.has_rewind()) {
    const v1::Rewind& rewind = target.rewind();
    check.InRightOpen(rewind.to_fraction(), 0, 1, "rewind.to_fraction");
    const bool none = rewind.has_weights() && !rewind.weights() && rewind.has_learning_rate() &&
                      !rewind.learning_rate();
    check.That(!none, "rewind", "goes back with neither weights nor learning_rate: leave it out");
  }
  ValidateStructure(target, &check);
  ValidateProtection(target, &check);
  if (target.has_batch_norm_batches()) {
    check.InRange(target.batch_norm_batches(), 0, 100000, "batch_norm_batches");
  }
  ValidatePatterns(target.include_layers(), "include_layers", &check);
  ValidatePatterns(target.exclude_layers(), "exclude_layers", &check);
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
  check.That(!outputs.block_sparse() ||
                 spec.target().structure() == v1::PruningTarget::STRUCTURE_UNSPECIFIED,
             "block_sparse", "a structure has no blocks: outputs.onnx has the narrower model");
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
    CheckScoredStretch(spec.movement(), &movement);
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
  check.That(
      !spec.target().has_n_of_m() || (!spec.has_rigl() && !spec.has_group_obs()), "target.n_of_m",
      "this method does not choose within runs of inputs: give a sparsity, or take magnitude, "
      "sparsegpt, wanda or sequential_attention_pp");
  if (Prunes(spec)) {
    ValidateTarget(spec.target(), check.PathOf("target"), violations);
    check.That(spec.target().structure() == v1::PruningTarget::STRUCTURE_UNSPECIFIED ||
                   PrunesStructures(spec),
               "target.structure",
               "the method prunes blocks only: use sequential_attention_pp, fisher_attention, "
               "magnitude, movement, snip, ac_dc or random");
    if (spec.target().has_accuracy_bound()) {
      ValidateAccuracyBound(spec, check.PathOf("target.accuracy_bound"), violations);
    }
  } else {
    check.That(!spec.has_target(), "target", "the method prunes nothing: leave target out");
  }
  check.That(!spec.dry_run() || !(spec.has_evaluate() || spec.has_benchmark()), "dry_run",
             "the method trains nothing: leave dry_run out");
  ValidateOutputs(spec, check.PathOf("outputs"), violations);
}

}  // namespace topiary
