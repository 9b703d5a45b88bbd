#include <utility>

#include "common/status_macros.h"
#include "worker/agent/spec_proto_parts.h"
#include "worker/features/selector_registry.h"

namespace topiary {
namespace {

template <typename Selector, typename Options>
void ConvertFeaturesPerStep(const Selector& selector, Options* out) {
  if (selector.has_features_per_step()) out->features_per_step = selector.features_per_step();
}

template <typename Selector, typename Options>
void ConvertStrength(const Selector& selector, Options* out) {
  if (selector.has_strength()) out->strength = selector.strength();
}

SequentialAttentionOptions ConvertSequentialAttention(
    const v1::SequentialAttentionSelector& selector) {
  SequentialAttentionOptions out;
  ConvertFeaturesPerStep(selector, &out);
  if (selector.has_warmup_fraction()) out.warmup_fraction = selector.warmup_fraction();
  if (selector.has_logits_learning_rate_multiplier()) {
    out.logits_learning_rate_multiplier = selector.logits_learning_rate_multiplier();
  }
  return out;
}

StochasticGatesOptions ConvertStochasticGates(const v1::StochasticGatesSelector& selector,
                                              uint64_t seed) {
  StochasticGatesOptions out;
  ConvertStrength(selector, &out);
  if (selector.has_deviation()) out.deviation = selector.deviation();
  if (selector.has_gates_learning_rate_multiplier()) {
    out.gates_learning_rate_multiplier = selector.gates_learning_rate_multiplier();
  }
  out.seed = seed;
  return out;
}

ConcreteAutoencoderOptions ConvertConcreteAutoencoder(
    const v1::ConcreteAutoencoderSelector& selector, uint64_t seed) {
  ConcreteAutoencoderOptions out;
  if (selector.has_start_temperature()) out.start_temperature = selector.start_temperature();
  if (selector.has_end_temperature()) out.end_temperature = selector.end_temperature();
  if (selector.has_logits_learning_rate_multiplier()) {
    out.logits_learning_rate_multiplier = selector.logits_learning_rate_multiplier();
  }
  out.seed = seed;
  return out;
}

absl::StatusOr<SelectorOptions> ConvertSelector(const v1::FeatureSelectionMethod& method,
                                                uint64_t seed) {
  switch (method.selector_case()) {
    case v1::FeatureSelectionMethod::kSequentialAttention:
      return SelectorOptions(ConvertSequentialAttention(method.sequential_attention()));
    case v1::FeatureSelectionMethod::kOmp: {
      OmpOptions out;
      ConvertFeaturesPerStep(method.omp(), &out);
      if (method.omp().has_gradient_batches())
        out.gradient_batches = method.omp().gradient_batches();
      return SelectorOptions(out);
    }
    case v1::FeatureSelectionMethod::kSequentialLasso: {
      SequentialLassoOptions out;
      ConvertFeaturesPerStep(method.sequential_lasso(), &out);
      ConvertStrength(method.sequential_lasso(), &out);
      out.seed = seed;
      return SelectorOptions(out);
    }
    case v1::FeatureSelectionMethod::kGroupLasso: {
      GroupLassoSelectorOptions out;
      ConvertStrength(method.group_lasso(), &out);
      out.seed = seed;
      return SelectorOptions(out);
    }
    case v1::FeatureSelectionMethod::kLiaoLattyYang: {
      LiaoLattyYangOptions out;
      if (method.liao_latty_yang().has_mask_learning_rate_multiplier()) {
        out.mask_learning_rate_multiplier =
            method.liao_latty_yang().mask_learning_rate_multiplier();
      }
      out.seed = seed;
      return SelectorOptions(out);
    }
    case v1::FeatureSelectionMethod::kStochasticGates:
      return SelectorOptions(ConvertStochasticGates(method.stochastic_gates(), seed));
    case v1::FeatureSelectionMethod::kConcreteAutoencoder:
      return SelectorOptions(ConvertConcreteAutoencoder(method.concrete_autoencoder(), seed));
    case v1::FeatureSelectionMethod::kOmpLinear:
      return SelectorOptions(LinearOmpOptions());
    case v1::FeatureSelectionMethod::kRandom:
      return SelectorOptions(RandomFeaturesOptions{seed});
    case v1::FeatureSelectionMethod::SELECTOR_NOT_SET:
      break;
  }
  return UnknownValue("spec.feature_selection.selector");
}

}  // namespace

absl::StatusOr<FeatureSelectionSpec> ConvertFeatureSelection(const v1::CompressionSpec& spec) {
  const v1::FeatureSelectionMethod& method = spec.feature_selection();
  FeatureSelectionSpec out;
  out.count = method.count();
  ASSIGN_OR_RETURN(out.selector, ConvertSelector(method, spec.task().seed()));
  out.epochs = method.has_epochs() ? method.epochs() : 0;
  out.steps = method.has_steps() ? method.steps() : 0;
  for (const v1::FeatureGroup& group : method.groups()) {
    out.groups.push_back(
        {group.name(), group.input(), {group.columns().begin(), group.columns().end()}});
  }
  return out;
}

}  // namespace topiary
