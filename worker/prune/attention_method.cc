#include "worker/prune/attention_method.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

template <typename Values, typename T>
void Append(const Values& values, std::vector<T>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

}  // namespace

absl::Status CheckAttentionOptions(const AttentionOptions& options, absl::string_view message) {
  const auto refuse = [message](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat(message, ".", field, " is ", value, ": it must be ", range));
  };
  if (!(options.logits_learning_rate_multiplier >= 0 &&
        options.logits_learning_rate_multiplier <= 1e4)) {
    return refuse("logits_learning_rate_multiplier", options.logits_learning_rate_multiplier,
                  "in [0, 10,000]");
  }
  if (options.logits_weight_decay.has_value() &&
      !(*options.logits_weight_decay >= 0 && *options.logits_weight_decay <= 10)) {
    return refuse("logits_weight_decay", *options.logits_weight_decay, "in [0, 10]");
  }
  return absl::OkStatus();
}

AttentionMethod::AttentionMethod(const AttentionOptions& options, const PhasedOptions& phased,
                                 PhasePlan plan, std::vector<MethodLayer> layers)
    : PhasedMethod(phased, std::move(plan), std::move(layers)), attention_options_(options) {
  for (size_t i = 0; i < this->layers().size(); ++i) {
    clips_.push_back(options.clip_attention ? AttentionClip::ForDensity(1 - TargetOf(i))
                                            : AttentionClip());
    const Shape shape({this->layers()[i].block_count()});
    logits_.emplace_back(DType::kFloat32, shape);
    gradients_.emplace_back(DType::kFloat32, shape);
  }
  attention_.resize(logits_.size());
  const bool global = options.softmax == AttentionOptions::Softmax::kGlobal;
  softmaxes_.resize(global ? 1 : logits_.size());
  for (size_t i = 0; i < logits_.size(); ++i) softmaxes_[global ? 0 : i].push_back(i);
  AttentionMethod::RefreshScales();
}

void AttentionMethod::RefreshScales() {
  for (const std::vector<size_t>& layers : softmaxes_) {
    std::vector<float> logits;
    for (const size_t i : layers) Append(logits_[i].span<float>(), &logits);
    const std::vector<double> attention = BlockAttention(logits);
    auto next = attention.begin();
    for (const size_t i : layers) {
      attention_[i].assign(next, next + logits_[i].element_count());
      next += logits_[i].element_count();
      RefreshScalesOf(i);
    }
  }
}

void AttentionMethod::EndStep(absl::Span<const absl::Span<const float>> inner_products) {
  CHECK_EQ(inner_products.size(), logits_.size());
  for (const std::vector<size_t>& layers : softmaxes_) {
    std::vector<double> attention;
    std::vector<double> attention_gradient;
    for (const size_t i : layers) {
      Append(attention_[i], &attention);
      Append(AttentionGradient(attention_[i], inner_products[i], support(static_cast<int>(i)),
                               clips_[i]),
             &attention_gradient);
    }
    std::vector<float> gradient(attention.size());
    LogitGradient(attention, attention_gradient, absl::MakeSpan(gradient));
    auto next = gradient.begin();
    for (const size_t i : layers) {
      std::copy_n(next, gradients_[i].element_count(), gradients_[i].data<float>());
      next += gradients_[i].element_count();
    }
  }
}

std::vector<TrainableState> AttentionMethod::trainable_state() {
  std::vector<TrainableState> state;
  for (size_t i = 0; i < logits_.size(); ++i) {
    state.push_back({LogitsName(i), logits_[i].element_count(), logits_[i].data<float>(),
                     gradients_[i].data<float>(),
                     attention_options_.logits_learning_rate_multiplier,
                     attention_options_.logits_weight_decay});
  }
  return state;
}

MethodState AttentionMethod::Save() const {
  MethodState state = PhasedMethod::Save();
  for (size_t i = 0; i < logits_.size(); ++i) state.emplace(LogitsName(i), logits_[i].Clone());
  return state;
}

absl::Status AttentionMethod::Load(const MethodState& state) {
  std::vector<const Tensor*> loaded;
  for (size_t i = 0; i < logits_.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* logits,
                     FindState(state, LogitsName(i), DType::kFloat32, logits_[i].element_count()));
    loaded.push_back(logits);
  }
  RETURN_IF_ERROR(PhasedMethod::Load(state));
  for (size_t i = 0; i < logits_.size(); ++i) {
    const absl::Span<const float> values = loaded[i]->span<float>();
    std::copy(values.begin(), values.end(), logits_[i].data<float>());
  }
  RefreshScales();
  return absl::OkStatus();
}

std::string AttentionMethod::LogitsName(size_t index) const {
  return absl::StrCat("logits/", layers()[index].weight);
}

void AttentionMethod::RefreshScalesOf(size_t index) {
  const Support& live = support(static_cast<int>(index));
  std::vector<float>& scales = mutable_scales()[index];
  for (size_t block = 0; block < scales.size(); ++block) {
    scales[block] =
        live[block] != 0 ? static_cast<float>(clips_[index].Apply(attention_[index][block])) : 0.0F;
  }
}

}  // namespace topiary
