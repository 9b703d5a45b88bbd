#include "worker/features/sequential_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

class SequentialAttention : public TrainingSelector {
 public:
  SequentialAttention(const SequentialAttentionOptions& options, CandidateFeatures candidates,
                      const SelectionSchedule& schedule)
      : TrainingSelector(std::move(candidates), schedule, "logits/features",
                         options.logits_learning_rate_multiplier) {
    RefreshScales();
  }

  absl::string_view name() const override { return "sequential_attention"; }
  bool wants_inner_products() const override { return true; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    StepActions actions = FeatureSelector::BeginStep(step, tensors);
    const int64_t phase = schedule().PhaseOf(step);
    actions.reset_trainable_state = phase >= 0 && schedule().BeginOf(phase) == step;
    return actions;
  }

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
    CHECK_EQ(inner_products.size(), 1u);
    const absl::Span<float> gradient = mutable_gradient();
    if (schedule().PhaseOf(step()) < 0) {
      std::fill(gradient.begin(), gradient.end(), 0.0F);
      return;
    }
    SequentialAttentionGradient(Mask(), candidates().SumOverRows(inner_products[0]), is_chosen(),
                                gradient);
  }

 protected:
  void FillMask(absl::Span<float> mask) const override {
    if (schedule().PhaseOf(step()) < 0) {
      std::fill(mask.begin(), mask.end(), 1.0F);
      return;
    }
    const std::vector<double> values = Mask();
    std::copy(values.begin(), values.end(), mask.begin());
  }

  std::vector<double> Scores(LayerTensors&) override {
    return {trained().begin(), trained().end()};
  }

  void AfterChoice() override {
    std::fill(mutable_trained().begin(), mutable_trained().end(), 0.0F);
  }

 private:
  std::vector<double> Mask() const { return SequentialAttentionMask(trained(), is_chosen()); }
};

}  // namespace

std::vector<double> SequentialAttentionMask(absl::Span<const float> logits,
                                            absl::Span<const uint8_t> chosen) {
  CHECK_EQ(logits.size(), chosen.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (chosen[i] == 0) largest = std::max(largest, double{logits[i]});
  }
  std::vector<double> mask(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (chosen[i] != 0) continue;
    mask[i] = std::exp(logits[i] - largest);
    sum += mask[i];
  }
  for (size_t i = 0; i < logits.size(); ++i) mask[i] = chosen[i] != 0 ? 1 : mask[i] / sum;
  return mask;
}

void SequentialAttentionGradient(absl::Span<const double> mask, absl::Span<const double> h,
                                 absl::Span<const uint8_t> chosen, absl::Span<float> gradient) {
  CHECK(mask.size() == h.size() && mask.size() == chosen.size() && mask.size() == gradient.size());
  double mean = 0;
  for (size_t i = 0; i < mask.size(); ++i) mean += chosen[i] != 0 ? 0 : mask[i] * h[i];
  for (size_t i = 0; i < mask.size(); ++i) {
    gradient[i] = chosen[i] != 0 ? 0.0F : static_cast<float>(mask[i] * (h[i] - mean));
  }
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSequentialAttention(
    const SequentialAttentionOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  if (!(options.logits_learning_rate_multiplier > 0 &&
        options.logits_learning_rate_multiplier <= 1e4)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sequential_attention.logits_learning_rate_multiplier is ",
        options.logits_learning_rate_multiplier, ": it must be above 0 and at most ", "10,000"));
  }
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, options.features_per_step,
                                             options.warmup_fraction, total_steps));
  return std::make_unique<SequentialAttention>(options, std::move(candidates), schedule);
}

}  // namespace topiary
