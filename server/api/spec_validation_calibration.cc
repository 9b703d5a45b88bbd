#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

template <typename Method>
void ValidateExamples(const Method& method, FieldChecks* check) {
  check->ZeroOrInRange(method.calibration_examples(), 1, 1000000, "calibration_examples");
}

// Of methods that invert the moments.
template <typename Method>
void ValidateQuadratic(const Method& method, FieldChecks* check) {
  ValidateExamples(method, check);
  if (method.has_dampening()) check->InLeftOpen(method.dampening(), 0, 1, "dampening");
}

}  // namespace

void ValidateCalibration(const v1::CompressionSpec& spec, absl::string_view path,
                         FieldViolations* violations) {
  if (!PrunesByCalibration(spec)) return;
  FieldChecks check(path, violations);
  using Target = v1::PruningTarget;
  const Target::Structure structure = spec.target().structure();
  constexpr absl::string_view kCompete =
      "must be left out with target.structure: all candidates of a group compete";
  if (spec.has_wanda()) {
    check.That(structure != Target::EMBEDDING_ROWS, "target.structure",
               "must be another than EMBEDDING_ROWS, which no matrix reads");
  } else {
    check.That(
        !HasStructure(spec.target()) || structure == Target::HEADS || structure == Target::NEURONS,
        "target.structure",
        "must be HEADS or NEURONS: what is left of the one matrix that reads these makes up "
        "for those that go; wanda prunes others too");
  }
  if (spec.has_wanda()) {
    FieldChecks wanda(check.PathOf("wanda"), violations);
    ValidateExamples(spec.wanda(), &wanda);
    wanda.That(!spec.target().has_n_of_m() || spec.wanda().comparison() != v1::WandaMethod::LAYER,
               "comparison",
               "must not be LAYER with target.n_of_m, where weights compete within a run");
    wanda.That(!HasStructure(spec.target()) ||
                   spec.wanda().comparison() == v1::WandaMethod::COMPARISON_UNSPECIFIED,
               "comparison", kCompete);
  }
  if (spec.has_sparsegpt()) {
    FieldChecks sparsegpt(check.PathOf("sparsegpt"), violations);
    ValidateQuadratic(spec.sparsegpt(), &sparsegpt);
    sparsegpt.ZeroOrInRange(spec.sparsegpt().chunk_inputs(), 1, 65536, "chunk_inputs");
    sparsegpt.That(!HasStructure(spec.target()) || spec.sparsegpt().chunk_inputs() == 0,
                   "chunk_inputs", kCompete);
  }
  if (spec.has_group_obs()) {
    FieldChecks group_obs(check.PathOf("group_obs"), violations);
    ValidateQuadratic(spec.group_obs(), &group_obs);
  }
  check.That(
      spec.target().budget() != v1::PruningTarget::GLOBAL, "target.budget",
      "must not be GLOBAL: the method prunes one layer after another, so they cannot compete");
  check.That(!spec.target().has_rewind(), "target.rewind",
             "must be left out: the method prunes before the first step");
  check.That(!spec.outputs().train_dense_comparison() || Trains(spec),
             "outputs.train_dense_comparison",
             "needs task.epochs or task.steps with this method, which trains nothing by itself");
}

}  // namespace topiary
