#include "worker/pipeline/kept_model.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/pipeline/exported_state.h"

namespace topiary {

absl::StatusOr<BoundOutcome> KeepWithinBound(const AccuracyBound& bound,
                                             const absl::Status& diverged, const KeptModel& last,
                                             const std::optional<KeptModel>& kept,
                                             const Method& method, ParameterStore* store,
                                             std::vector<PrunedWeight>* pruned,
                                             std::vector<PrunedGroup>* groups) {
  BoundOutcome outcome;
  AccuracyBoundReport& report = outcome.report;
  report = bound.Report();
  report.step = last.step;
  report.met = diverged.ok() && bound.Prefers(last, std::nullopt);
  if (report.met) return outcome;
  if (!kept.has_value()) {
    RETURN_IF_ERROR(diverged);
    outcome.missed = absl::StrCat(
        "spec.target.accuracy_bound: no pruned model of the training has an ", bound.Described(),
        "; the last has ", last.metrics.at(report.metric), " at a sparsity of ", last.sparsity,
        ": prune less, train longer, or allow more");
    return outcome;
  }
  outcome.is_kept = true;
  report.met = true;
  report.step = kept->step;
  report.final_metrics = last.metrics;
  report.final_sparsity = last.sparsity;
  if (!diverged.ok()) outcome.warnings.emplace_back(diverged.message());
  if (kept->sparsity < last.sparsity) {
    outcome.warnings.push_back(
        absl::StrCat("the model kept for the accuracy bound, of step ", kept->step,
                     ", has a sparsity of ", kept->sparsity, ", less than the ", last.sparsity,
                     " that training ended with: ask for less, train longer, or loosen the bound"));
  }
  RETURN_IF_ERROR(LoadExported(*kept->state, method, store));
  for (PrunedWeight& weight : *pruned) {
    weight.support = SupportIn(*kept->state, weight.partition->layer().weight);
  }
  for (PrunedGroup& group : *groups) {
    group.support = SupportIn(*kept->state, group.group->name());
  }
  return outcome;
}

}  // namespace topiary
