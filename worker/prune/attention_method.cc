#include "worker/prune/attention_method.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/block_numbers.h"

namespace topiary {
namespace {

constexpr absl::string_view kLogits = "logits";

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
  const bool global = options.softmax == AttentionOptions::Softmax::kGlobal;
  softmaxes_.resize(global ? 1 : this->layers().size());
  for (size_t i = 0; i < this->layers().size(); ++i) {
    const size_t softmax = global ? 0 : i;
    std::vector<float>& logits = softmaxes_[softmax].logits;
    parts_.push_back(
        {softmax, logits.size(),
         options.clip_attention ? AttentionClip::ForDensity(1 - TargetOf(i)) : AttentionClip()});
    logits.resize(logits.size() + this->layers()[i].block_count());
  }
  for (Softmax& softmax : softmaxes_) {
    softmax.logit_gradients.resize(softmax.logits.size());
    softmax.attention.resize(softmax.logits.size());
    softmax.attention_gradients.resize(softmax.logits.size());
  }
  AttentionMethod::RefreshScales();
}

void AttentionMethod::RefreshScales() {
  for (Softmax& softmax : softmaxes_) {
    BlockAttention(softmax.logits, absl::MakeSpan(softmax.attention));
  }
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Support& live = support(static_cast<int>(i));
    const absl::Span<const double> attention = this->attention(i);
    std::vector<float>& scales = mutable_scales()[i];
    for (size_t block = 0; block < scales.size(); ++block) {
      scales[block] =
          live[block] != 0 ? static_cast<float>(parts_[i].clip.Apply(attention[block])) : 0.0F;
    }
  }
}

void AttentionMethod::EndStep(absl::Span<const absl::Span<const float>> inner_products) {
  CHECK_EQ(inner_products.size(), parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    AttentionGradient(attention(i), inner_products[i], support(static_cast<int>(i)), parts_[i].clip,
                      PartOf<double>(softmax_of(i).attention_gradients, i));
  }
  for (Softmax& softmax : softmaxes_) {
    LogitGradient(softmax.attention, softmax.attention_gradients,
                  absl::MakeSpan(softmax.logit_gradients));
  }
}

std::vector<TrainableState> AttentionMethod::trainable_state() {
  std::vector<TrainableState> state;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const absl::Span<float> logits = PartOf<float>(softmax_of(i).logits, i);
    state.push_back({absl::StrCat(kLogits, "/", layers()[i].weight),
                     static_cast<int64_t>(logits.size()), logits.data(),
                     PartOf<float>(softmax_of(i).logit_gradients, i).data(),
                     attention_options_.logits_learning_rate_multiplier,
                     attention_options_.logits_weight_decay});
  }
  return state;
}

MethodState AttentionMethod::Save() const {
  MethodState state = PhasedMethod::Save();
  std::vector<std::vector<float>> values;
  for (size_t i = 0; i < parts_.size(); ++i)
    values.emplace_back(logits(i).begin(), logits(i).end());
  state.merge(BlockNumbersState(kLogits, layers(), values));
  return state;
}

absl::Status AttentionMethod::Load(const MethodState& state) {
  ASSIGN_OR_RETURN(const std::vector<std::vector<float>> loaded,
                   FindBlockNumbers(state, kLogits, layers()));
  RETURN_IF_ERROR(PhasedMethod::Load(state));
  for (size_t i = 0; i < parts_.size(); ++i) {
    std::copy(loaded[i].begin(), loaded[i].end(), PartOf<float>(softmax_of(i).logits, i).begin());
  }
  RefreshScales();
  return absl::OkStatus();
}

}  // namespace topiary
