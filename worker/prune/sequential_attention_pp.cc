#include "worker/prune/sequential_attention_pp.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/attention.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/schedule.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

template <typename Values, typename T>
void Append(const Values& values, std::vector<T>* all) {
  all->insert(all->end(), values.begin(), values.end());
}

class SequentialAttentionPlusPlus : public PhasedMethod {
 public:
  SequentialAttentionPlusPlus(const SequentialAttentionPlusPlusOptions& options,
                              const PhasedOptions& phased, PhasePlan plan,
                              std::vector<MethodLayer> layers)
      : PhasedMethod(phased, std::move(plan), std::move(layers)), options_(options) {
    for (size_t i = 0; i < this->layers().size(); ++i) {
      clips_.push_back(options.clip_attention ? AttentionClip::ForDensity(1 - TargetOf(i))
                                              : AttentionClip());
      const Shape shape({this->layers()[i].block_count()});
      logits_.emplace_back(DType::kFloat32, shape);
      gradients_.emplace_back(DType::kFloat32, shape);
    }
    attention_.resize(logits_.size());
    const bool global = options.softmax == SequentialAttentionPlusPlusOptions::Softmax::kGlobal;
    softmaxes_.resize(global ? 1 : logits_.size());
    for (size_t i = 0; i < logits_.size(); ++i) softmaxes_[global ? 0 : i].push_back(i);
    RefreshScales();
  }

  absl::string_view name() const override { return "sequential_attention_pp"; }
  bool wants_inner_products() const override { return true; }

  void RefreshScales() override {
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

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
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

  std::vector<TrainableState> trainable_state() override {
    std::vector<TrainableState> state;
    for (size_t i = 0; i < logits_.size(); ++i) {
      state.push_back({LogitsName(i), logits_[i].element_count(), logits_[i].data<float>(),
                       gradients_[i].data<float>(), options_.logits_learning_rate_multiplier,
                       options_.logits_weight_decay});
    }
    return state;
  }

  MethodState Save() const override {
    MethodState state = PhasedMethod::Save();
    for (size_t i = 0; i < logits_.size(); ++i) state.emplace(LogitsName(i), logits_[i].Clone());
    return state;
  }

  absl::Status Load(const MethodState& state) override {
    std::vector<const Tensor*> loaded;
    for (size_t i = 0; i < logits_.size(); ++i) {
      ASSIGN_OR_RETURN(const Tensor* logits, FindState(state, LogitsName(i), DType::kFloat32,
                                                       logits_[i].element_count()));
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

 protected:
  double SparsityAt(double target, double t) const override {
    return ExponentialSparsity(target, options_.schedule_constant, t);
  }

  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    const bool between = options().budget == BudgetKind::kGlobal && softmaxes_.size() > 1;
    std::vector<std::vector<float>> scores;
    for (const Tensor& logits : logits_) {
      const absl::Span<const float> values = logits.span<float>();
      scores.push_back(between ? LogBlockAttention(values)
                               : std::vector<float>(values.begin(), values.end()));
    }
    return scores;
  }

 private:
  std::string LogitsName(size_t i) const { return absl::StrCat("logits/", layers()[i].weight); }

  void RefreshScalesOf(size_t i) {
    const Support& live = support(static_cast<int>(i));
    std::vector<float>& scales = mutable_scales()[i];
    for (size_t block = 0; block < scales.size(); ++block) {
      scales[block] =
          live[block] != 0 ? static_cast<float>(clips_[i].Apply(attention_[i][block])) : 0.0F;
    }
  }

  const SequentialAttentionPlusPlusOptions options_;
  // The layers of each softmax.
  std::vector<std::vector<size_t>> softmaxes_;
  // One entry per layer each.
  std::vector<AttentionClip> clips_;
  // The attention is that of the last RefreshScales(), before the clip.
  std::vector<Tensor> logits_;
  std::vector<Tensor> gradients_;
  std::vector<std::vector<double>> attention_;
};

absl::Status CheckOptions(const SequentialAttentionPlusPlusOptions& options) {
  const auto refuse = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequential_attention_pp.", field, " is ", value, ": it must be ", range));
  };
  if (!(options.logits_learning_rate_multiplier > 0 &&
        options.logits_learning_rate_multiplier <= 1e4)) {
    return refuse("logits_learning_rate_multiplier", options.logits_learning_rate_multiplier,
                  "above 0 and at most 10,000");
  }
  if (options.logits_weight_decay.has_value() &&
      !(*options.logits_weight_decay >= 0 && *options.logits_weight_decay <= 10)) {
    return refuse("logits_weight_decay", *options.logits_weight_decay, "in [0, 10]");
  }
  if (!(options.schedule_constant > 0 && options.schedule_constant <= 100)) {
    return refuse("schedule_constant", options.schedule_constant, "above 0 and at most 100");
  }
  if (options.mask_refresh_steps < 0) {
    return refuse("mask_refresh_steps", static_cast<double>(options.mask_refresh_steps),
                  "at least 1");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewSequentialAttentionPlusPlus(
    const SequentialAttentionPlusPlusOptions& options, const PruningTarget& target,
    std::vector<MethodLayer> layers, int64_t total_steps) {
  RETURN_IF_ERROR(CheckOptions(options));
  std::vector<PhaseShare> shares = options.phases;
  if (shares.empty()) {
    ASSIGN_OR_RETURN(shares, PhasePreset("single"));
  }
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  if (plan.phases().back().kind == PhaseKind::kDense) {
    return absl::InvalidArgumentError(
        "sequential_attention_pp.phases: the last phase is dense, so that nothing would be pruned: "
        "end with a sparse phase");
  }
  PhasedOptions phased = PhasedOptions::For(target);
  phased.refresh_steps = options.mask_refresh_steps;
  phased.reset_optimizer_at_phases = options.reset_optimizer_at_phases;
  return std::make_unique<SequentialAttentionPlusPlus>(options, phased, std::move(plan),
                                                       std::move(layers));
}

}  // namespace topiary
