#include <utility>

#include "common/status_macros.h"
#include "worker/agent/spec_proto_parts.h"

namespace topiary {
namespace {

MagnitudeSpec ConvertMagnitude(const v1::MagnitudeMethod& method) {
  MagnitudeSpec out;
  if (method.has_one_shot()) {
    out.gradual = false;
    out.at_fraction = method.one_shot().at_fraction();
    return out;
  }
  const v1::GradualMagnitude& gradual = method.gradual();
  if (gradual.has_begin_fraction()) out.begin_fraction = gradual.begin_fraction();
  if (gradual.has_end_fraction()) out.end_fraction = gradual.end_fraction();
  out.refresh_steps = gradual.refresh_steps();
  return out;
}

absl::Status ConvertPlan(const v1::SequentialAttentionPlusPlusMethod& method,
                         SequentialAttentionPlusPlusSpec* out) {
  using Preset = SequentialAttentionPlusPlusSpec::Preset;
  for (const v1::Phase& phase : method.phases().phases()) {
    PhaseSpec converted;
    converted.fraction = phase.fraction();
    switch (phase.kind()) {
      case v1::Phase::DENSE:
        converted.kind = PhaseSpec::Kind::kDense;
        break;
      case v1::Phase::SPARSIFICATION:
        converted.kind = PhaseSpec::Kind::kSparsification;
        break;
      case v1::Phase::SPARSE:
        converted.kind = PhaseSpec::Kind::kSparse;
        break;
      default:
        return UnknownValue("spec.sequential_attention_pp.phases.kind");
    }
    out->phases.push_back(converted);
  }
  if (!out->phases.empty()) return absl::OkStatus();
  switch (method.preset()) {
    case v1::SequentialAttentionPlusPlusMethod::PRESET_UNSPECIFIED:
    case v1::SequentialAttentionPlusPlusMethod::SINGLE:
      out->preset = Preset::kSingle;
      return absl::OkStatus();
    case v1::SequentialAttentionPlusPlusMethod::PAPER_IMAGENET:
      out->preset = Preset::kPaperImagenet;
      return absl::OkStatus();
    case v1::SequentialAttentionPlusPlusMethod::PAPER_CRITEO:
      out->preset = Preset::kPaperCriteo;
      return absl::OkStatus();
    default:
      return UnknownValue("spec.sequential_attention_pp.preset");
  }
}

absl::StatusOr<SequentialAttentionPlusPlusSpec> ConvertSequentialAttention(
    const v1::SequentialAttentionPlusPlusMethod& method, double weight_decay) {
  SequentialAttentionPlusPlusSpec out;
  RETURN_IF_ERROR(ConvertPlan(method, &out));
  if (method.has_logits_learning_rate_multiplier()) {
    out.logits_learning_rate_multiplier = method.logits_learning_rate_multiplier();
  }
  out.logits_weight_decay =
      method.has_logits_weight_decay() ? method.logits_weight_decay() : weight_decay;
  if (method.has_schedule_constant()) out.schedule_constant = method.schedule_constant();
  if (method.has_clip_attention()) out.clip_attention = method.clip_attention();
  out.mask_refresh_steps = method.mask_refresh_steps();
  if (method.has_reset_optimizer_at_phases()) {
    out.reset_optimizer_at_phases = method.reset_optimizer_at_phases();
  }
  return out;
}

}  // namespace

absl::StatusOr<MethodSpec> ConvertMethod(const v1::CompressionSpec& spec) {
  switch (spec.method_case()) {
    case v1::CompressionSpec::kDense:
      return MethodSpec(DenseSpec());
    case v1::CompressionSpec::kEvaluate:
      return MethodSpec(EvaluateSpec{spec.evaluate().return_predictions()});
    case v1::CompressionSpec::kMagnitude:
      return MethodSpec(ConvertMagnitude(spec.magnitude()));
    case v1::CompressionSpec::kSequentialAttentionPp: {
      ASSIGN_OR_RETURN(SequentialAttentionPlusPlusSpec method,
                       ConvertSequentialAttention(spec.sequential_attention_pp(),
                                                  spec.task().optimizer().weight_decay()));
      return MethodSpec(std::move(method));
    }
    case v1::CompressionSpec::kBenchmark:
      return MethodSpec(BenchmarkSpec());
    case v1::CompressionSpec::METHOD_NOT_SET:
      break;
  }
  return UnknownValue("spec.method");
}

}  // namespace topiary
