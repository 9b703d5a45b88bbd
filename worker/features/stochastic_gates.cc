#include "worker/features/stochastic_gates.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr uint64_t kNoise = kStreamFeatures | (uint64_t{2} << 32);

class StochasticGates : public TrainingSelector {
 public:
  StochasticGates(const StochasticGatesOptions& options, CandidateFeatures candidates,
                  const SelectionSchedule& schedule)
      : TrainingSelector(std::move(candidates), schedule, "gates/features",
                         options.gates_learning_rate_multiplier),
        options_(options) {
    std::fill(mutable_trained().begin(), mutable_trained().end(), 0.5F);
    RefreshScales();
  }

  absl::string_view name() const override { return "stochastic_gates"; }
  bool wants_inner_products() const override { return true; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    Random random(options_.seed, kNoise, static_cast<uint64_t>(step));
    noise_.resize(candidates().rows.size());
    for (float& e : noise_) e = static_cast<float>(options_.deviation) * random.Normal();
    opened_.resize(noise_.size());
    for (size_t i = 0; i < noise_.size(); ++i) opened_[i] = trained()[i] + noise_[i];
    StepActions actions = FeatureSelector::BeginStep(step, tensors);
    noise_.clear();
    return actions;
  }

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
    CHECK_EQ(inner_products.size(), 1u);
    const std::vector<double> h = candidates().SumOverRows(inner_products[0]);
    const absl::Span<float> gradient = mutable_gradient();
    const double inverse = 1 / options_.deviation;
    for (size_t i = 0; i < h.size(); ++i) {
      const double z = trained()[i] * inverse;
      const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * M_PI);
      const bool passes = opened_[i] > 0 && opened_[i] < 1;
      gradient[i] = static_cast<float>((passes ? h[i] : 0) + options_.strength * density * inverse);
    }
  }

 protected:
  void FillMask(absl::Span<float> mask) const override {
    for (size_t i = 0; i < mask.size(); ++i) {
      const float gate = trained()[i] + (noise_.empty() ? 0.0F : noise_[i]);
      mask[i] = std::min(std::max(gate, 0.0F), 1.0F);
    }
  }

  std::vector<double> Scores(LayerTensors&) override {
    return {trained().begin(), trained().end()};
  }

 private:
  const StochasticGatesOptions options_;
  std::vector<float> noise_;   // Of the step that begins; empty between steps.
  std::vector<float> opened_;  // Gates with the noise of the step begun last.
};

absl::Status CheckOptions(const StochasticGatesOptions& options) {
  const auto refuse = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat("stochastic_gates.", field, " is ", value, ": it must be ", range));
  };
  if (!(options.strength >= 0 && options.strength <= 1000)) {
    return refuse("strength", options.strength, "in [0, 1000]");
  }
  if (!(options.deviation > 0 && options.deviation <= 10)) {
    return refuse("deviation", options.deviation, "above 0 and at most 10");
  }
  if (!(options.gates_learning_rate_multiplier > 0 &&
        options.gates_learning_rate_multiplier <= 1e4)) {
    return refuse("gates_learning_rate_multiplier", options.gates_learning_rate_multiplier,
                  "above 0 and at most 10,000");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewStochasticGates(
    const StochasticGatesOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, count,
                                             /*warmup_fraction=*/0, total_steps));
  return std::make_unique<StochasticGates>(options, std::move(candidates), schedule);
}

}  // namespace topiary
