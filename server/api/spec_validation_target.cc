#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/descriptor.h"
#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int kMaxPatterns = 1000;
constexpr size_t kMaxPatternBytes = 255;
constexpr int kMaxCurvePoints = 100;
constexpr int64_t kMaxCount = int64_t{1} << 60;

// The methods that prune structures as well as blocks, by their fields in CompressionSpec.
constexpr absl::string_view kPruneStructures[] = {"sequential_attention_pp",
                                                  "fisher_attention",
                                                  "magnitude",
                                                  "movement",
                                                  "snip",
                                                  "ac_dc",
                                                  "random",
                                                  "wanda",
                                                  "sparsegpt",
                                                  "group_obs"};

template <typename Patterns>
void ValidatePatterns(const Patterns& patterns, absl::string_view field, FieldChecks* check) {
  check->That(patterns.size() <= kMaxPatterns, field, "must have at most 1000 entries");
  for (int i = 0; i < std::min<int>(patterns.size(), kMaxPatterns); ++i) {
    if (!patterns[i].empty() && patterns[i].size() <= kMaxPatternBytes) continue;
    check->That(false, absl::StrCat(field, "[", i, "]"), "must have 1 to 255 bytes");
  }
}

// Blocks or a structure, not a part of each.
void ValidateStructure(const v1::PruningTarget& target, FieldChecks* check) {
  if (!HasStructure(target)) {
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
  const bool is_whole = target.structure() == Target::BRANCHES ||
                        target.structure() == Target::TRANSFORMER_LAYERS ||
                        target.structure() == Target::EMBEDDING_TABLES;
  check->That(!is_whole || target.layer_targets().empty(), "layer_targets",
              "must be left out with a structure of which all are one group");
  check->That(target.budget() != Target::ERK && target.budget() != Target::SENSITIVITY, "budget",
              "must be UNIFORM or GLOBAL with a structure");
  if (target.has_parameters() || target.has_bytes() || target.has_flops()) {
    check->That(
        target.structure() != Target::EMBEDDING_ROWS, "structure",
        "must be another than EMBEDDING_ROWS with a size: pruned rows stay in their tables");
    check->That(target.budget() != Target::GLOBAL, "budget",
                "must be UNIFORM with a size of a structure: which groups keep how many is not "
                "known before, and candidates differ in size");
  }
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
  const auto* method = v1::CompressionSpec::descriptor()->FindFieldByNumber(spec.method_case());
  return method == nullptr || absl::c_linear_search(kPruneStructures, method->name());
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

void ValidateFields(const v1::PruningTarget& target, absl::string_view path,
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

}  // namespace

void ValidateTarget(const v1::CompressionSpec& spec, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  if (!Prunes(spec)) {
    check.That(!spec.has_target(), "target", "the method prunes nothing: leave target out");
    return;
  }
  const v1::PruningTarget& target = spec.target();
  ValidateFields(target, check.PathOf("target"), violations);
  check.That(
      !target.has_n_of_m() || (!spec.has_rigl() && !spec.has_group_obs()), "target.n_of_m",
      "this method does not choose within runs of inputs: give a sparsity, or take magnitude, "
      "sparsegpt, wanda or sequential_attention_pp");
  check.That(!HasStructure(target) || PrunesStructures(spec), "target.structure",
             absl::StrCat("the method prunes blocks only: use one of ",
                          absl::StrJoin(kPruneStructures, ", ")));
  if (target.has_accuracy_bound()) {
    ValidateAccuracyBound(spec, check.PathOf("target.accuracy_bound"), violations);
  }
}

}  // namespace topiary
