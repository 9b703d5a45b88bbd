#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/agent/spec_proto_parts.h"
#include "worker/prune/phases.h"

namespace topiary {
namespace {

// The stretch of training in which `schedule` prunes.
template <typename Schedule, typename Options>
void ConvertStretch(const Schedule& schedule, Options* out) {
  if (schedule.has_begin_fraction()) out->begin_fraction = schedule.begin_fraction();
  if (schedule.has_end_fraction()) out->end_fraction = schedule.end_fraction();
}

// Of magnitude and power_propagation.
template <typename Method>
absl::Status ConvertSchedule(const Method& method, absl::string_view field, PruningSchedule* out) {
  switch (method.schedule_case()) {
    case Method::kOneShot:
      out->schedule = PruningSchedule::Schedule::kOneShot;
      out->at_fraction = method.one_shot().at_fraction();
      return absl::OkStatus();
    case Method::kGradual:
      ConvertStretch(method.gradual(), out);
      out->refresh_steps = method.gradual().refresh_steps();
      return absl::OkStatus();
    case Method::kIterative:
      out->schedule = PruningSchedule::Schedule::kIterative;
      ConvertStretch(method.iterative(), out);
      if (method.iterative().has_rounds()) out->rounds = method.iterative().rounds();
      return absl::OkStatus();
    case Method::SCHEDULE_NOT_SET:
      break;
  }
  return UnknownValue(field);
}

absl::StatusOr<PowerPropagationOptions> ConvertPowerPropagation(
    const v1::PowerPropagationMethod& method) {
  PowerPropagationOptions out;
  RETURN_IF_ERROR(ConvertSchedule(method, "spec.power_propagation.schedule", &out));
  switch (method.form_case()) {
    case v1::PowerPropagationMethod::kElement:
      if (method.element().has_exponent()) out.power.exponent = method.element().exponent();
      return out;
    case v1::PowerPropagationMethod::kBlock:
      out.power.form = PowerParametrization::Form::kBlock;
      return out;
    case v1::PowerPropagationMethod::FORM_NOT_SET:
      break;
  }
  return UnknownValue("spec.power_propagation.form");
}

absl::StatusOr<WandaOptions> ConvertWanda(const v1::WandaMethod& method) {
  WandaOptions out;
  if (method.calibration_examples() > 0) out.examples = method.calibration_examples();
  switch (method.comparison()) {
    case v1::WandaMethod::COMPARISON_UNSPECIFIED:
    case v1::WandaMethod::OUTPUT:
      return out;
    case v1::WandaMethod::LAYER:
      out.comparison = WandaOptions::Comparison::kLayer;
      return out;
    default:
      return UnknownValue("spec.wanda.comparison");
  }
}

// What sparsegpt and group_obs have in common.
template <typename Method>
void ConvertQuadratic(const Method& method, QuadraticOptions* out) {
  if (method.calibration_examples() > 0) out->examples = method.calibration_examples();
  if (method.has_dampening()) out->dampening = method.dampening();
}

RigLOptions ConvertRigL(const v1::RigLMethod& method, uint64_t seed) {
  RigLOptions out;
  if (method.has_drop_fraction()) out.drop_fraction = method.drop_fraction();
  if (method.has_update_steps()) out.update_steps = method.update_steps();
  if (method.has_end_fraction()) out.end_fraction = method.end_fraction();
  out.seed = seed;
  return out;
}

absl::StatusOr<PhaseKind> ConvertPhaseKind(v1::Phase::Kind kind, absl::string_view field) {
  switch (kind) {
    case v1::Phase::DENSE:
      return PhaseKind::kDense;
    case v1::Phase::SPARSIFICATION:
      return PhaseKind::kSparsify;
    case v1::Phase::SPARSE:
      return PhaseKind::kSparse;
    default:
      return UnknownValue(field);
  }
}

absl::StatusOr<std::vector<PhaseShare>> ConvertPhases(const v1::PhasePlan& plan,
                                                      absl::string_view field) {
  std::vector<PhaseShare> phases;
  for (const v1::Phase& phase : plan.phases()) {
    ASSIGN_OR_RETURN(const PhaseKind kind, ConvertPhaseKind(phase.kind(), field));
    phases.push_back({kind, phase.fraction()});
  }
  return phases;
}

absl::StatusOr<std::vector<PhaseShare>> ConvertPlan(const v1::AcDcMethod& method) {
  if (method.has_phases()) return ConvertPhases(method.phases(), "spec.ac_dc.phases.phases.kind");
  switch (method.preset()) {
    case v1::AcDcMethod::PRESET_UNSPECIFIED:
    case v1::AcDcMethod::PAPER_IMAGENET:
      return PhasePreset("ac_dc_imagenet");
    case v1::AcDcMethod::PAPER_CIFAR10:
      return PhasePreset("ac_dc_cifar10");
    default:
      return UnknownValue("spec.ac_dc.preset");
  }
}

absl::StatusOr<AcDcOptions> ConvertAcDc(const v1::AcDcMethod& method) {
  AcDcOptions out;
  ASSIGN_OR_RETURN(out.phases, ConvertPlan(method));
  if (method.has_restart_at_zero()) out.restart_at_zero = method.restart_at_zero();
  if (method.has_reset_optimizer_at_phases()) {
    out.reset_optimizer_at_phases = method.reset_optimizer_at_phases();
  }
  return out;
}

absl::StatusOr<std::vector<PhaseShare>> ConvertPlan(
    const v1::SequentialAttentionPlusPlusMethod& method) {
  if (method.has_phases()) {
    return ConvertPhases(method.phases(), "spec.sequential_attention_pp.phases.phases.kind");
  }
  switch (method.preset()) {
    case v1::SequentialAttentionPlusPlusMethod::PRESET_UNSPECIFIED:
    case v1::SequentialAttentionPlusPlusMethod::SINGLE:
      return PhasePreset("single");
    case v1::SequentialAttentionPlusPlusMethod::PAPER_IMAGENET:
      return PhasePreset("paper_imagenet");
    case v1::SequentialAttentionPlusPlusMethod::PAPER_CRITEO:
      return PhasePreset("paper_criteo");
    default:
      return UnknownValue("spec.sequential_attention_pp.preset");
  }
}

absl::StatusOr<SequentialAttentionPlusPlusOptions> ConvertSequentialAttention(
    const v1::SequentialAttentionPlusPlusMethod& method) {
  SequentialAttentionPlusPlusOptions out;
  ASSIGN_OR_RETURN(out.phases, ConvertPlan(method));
  if (method.has_logits_learning_rate_multiplier()) {
    out.logits_learning_rate_multiplier = method.logits_learning_rate_multiplier();
  }
  if (method.has_logits_weight_decay()) out.logits_weight_decay = method.logits_weight_decay();
  if (method.has_schedule_constant()) out.schedule_constant = method.schedule_constant();
  if (method.has_clip_attention()) out.clip_attention = method.clip_attention();
  out.mask_refresh_steps = method.mask_refresh_steps();
  switch (method.softmax()) {
    case v1::SequentialAttentionPlusPlusMethod::SOFTMAX_UNSPECIFIED:  // Of jobs from before it.
    case v1::SequentialAttentionPlusPlusMethod::LAYER:
      break;
    case v1::SequentialAttentionPlusPlusMethod::GLOBAL:
      out.softmax = SequentialAttentionPlusPlusOptions::Softmax::kGlobal;
      break;
    default:
      return UnknownValue("spec.sequential_attention_pp.softmax");
  }
  if (method.has_reset_optimizer_at_phases()) {
    out.reset_optimizer_at_phases = method.reset_optimizer_at_phases();
  }
  return out;
}

FisherAttentionOptions ConvertFisherAttention(const v1::FisherAttentionMethod& method) {
  FisherAttentionOptions out;
  ConvertStretch(method, &out);
  out.refresh_steps = method.refresh_steps();
  if (method.has_logits_learning_rate_multiplier()) {
    out.logits_learning_rate_multiplier = method.logits_learning_rate_multiplier();
  }
  if (method.has_logits_weight_decay()) out.logits_weight_decay = method.logits_weight_decay();
  if (method.has_fisher_decay()) out.fisher_decay = method.fisher_decay();
  return out;
}

absl::StatusOr<MethodOptions> ConvertMethodOptions(const v1::CompressionSpec& spec) {
  switch (spec.method_case()) {
    case v1::CompressionSpec::kDense:
      return MethodOptions(DenseOptions());
    case v1::CompressionSpec::kMagnitude: {
      MagnitudeOptions method;
      RETURN_IF_ERROR(ConvertSchedule(spec.magnitude(), "spec.magnitude.schedule", &method));
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kAcDc: {
      ASSIGN_OR_RETURN(AcDcOptions method, ConvertAcDc(spec.ac_dc()));
      return MethodOptions(std::move(method));
    }
    case v1::CompressionSpec::kRigl:
      return MethodOptions(ConvertRigL(spec.rigl(), spec.task().seed()));
    case v1::CompressionSpec::kSnip:
      return MethodOptions(SnipOptions{std::max(1, spec.snip().batches())});
    case v1::CompressionSpec::kFisherAttention:
      return MethodOptions(ConvertFisherAttention(spec.fisher_attention()));
    case v1::CompressionSpec::kGroupLasso: {
      const v1::GroupLassoMethod& given = spec.group_lasso();
      GroupLassoOptions method;
      if (given.has_strength()) method.strength = given.strength();
      if (given.has_end_fraction()) method.end_fraction = given.end_fraction();
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kIht: {
      IhtOptions method;
      ConvertStretch(spec.iht(), &method);
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kMovement: {
      MovementOptions method;
      ConvertStretch(spec.movement(), &method);
      method.refresh_steps = spec.movement().refresh_steps();
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kPowerPropagation: {
      ASSIGN_OR_RETURN(const PowerPropagationOptions method,
                       ConvertPowerPropagation(spec.power_propagation()));
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kRandom:
      return MethodOptions(RandomPruningOptions{spec.random().at_fraction(), spec.task().seed()});
    case v1::CompressionSpec::kSequentialAttentionPp: {
      ASSIGN_OR_RETURN(SequentialAttentionPlusPlusOptions method,
                       ConvertSequentialAttention(spec.sequential_attention_pp()));
      return MethodOptions(std::move(method));
    }
    case v1::CompressionSpec::kGroupObs: {
      GroupObsOptions method;
      ConvertQuadratic(spec.group_obs(), &method);
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kSparsegpt: {
      SparseGptOptions method;
      ConvertQuadratic(spec.sparsegpt(), &method);
      if (spec.sparsegpt().chunk_inputs() > 0)
        method.chunk_inputs = spec.sparsegpt().chunk_inputs();
      return MethodOptions(method);
    }
    case v1::CompressionSpec::kWanda: {
      ASSIGN_OR_RETURN(WandaOptions method, ConvertWanda(spec.wanda()));
      return MethodOptions(method);
    }
    default:
      break;
  }
  return UnknownValue("spec.method");
}

}  // namespace

absl::StatusOr<MethodSpec> ConvertMethod(const v1::CompressionSpec& spec) {
  MethodSpec method;
  switch (spec.method_case()) {
    case v1::CompressionSpec::kEvaluate:
      method = EvaluateSpec{spec.evaluate().return_predictions()};
      return method;
    case v1::CompressionSpec::kBenchmark:
      method = BenchmarkSpec();
      return method;
    case v1::CompressionSpec::kFeatureSelection: {
      ASSIGN_OR_RETURN(method, ConvertFeatureSelection(spec));
      return method;
    }
    default: {
      ASSIGN_OR_RETURN(method, ConvertMethodOptions(spec));
      return method;
    }
  }
}

}  // namespace topiary
