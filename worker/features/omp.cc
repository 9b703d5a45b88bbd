#include "worker/features/omp.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

constexpr char kGradient[] = "gradient_sum";
constexpr float kWhileMeasured = 1e-3F;  // Mask of the others then.

class Omp : public FeatureSelector {
 public:
  Omp(const OmpOptions& options, CandidateFeatures candidates, const SelectionSchedule& schedule)
      : FeatureSelector(std::move(candidates), schedule),
        options_(options),
        gradient_(DType::kFloat32, Shape({this->candidates().partition->layer().element_count()})) {
    RefreshScales();
  }

  absl::string_view name() const override { return "omp"; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    StepActions actions = FeatureSelector::BeginStep(step, tensors);
    actions.hold_weights = step >= MeasuresFrom(step);
    return actions;
  }

  void AfterBackward(LayerTensors& tensors) override {
    const int64_t from = MeasuresFrom(step());
    if (step() < from) return;
    const absl::Span<float> sum = gradient_.span<float>();
    if (step() == from) std::fill(sum.begin(), sum.end(), 0.0F);
    const absl::Span<const float> gradient = tensors.Gradients(0);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
    if (schedule().Ends(step())) Choose(Scores(tensors));
  }

  MethodState Save() const override {
    MethodState state = FeatureSelector::Save();
    state.emplace(kGradient, gradient_.Clone());
    return state;
  }

 protected:
  absl::Status LoadOwn(const MethodState& state) override {
    ASSIGN_OR_RETURN(const Tensor* sum,
                     FindState(state, kGradient, DType::kFloat32, gradient_.element_count()));
    const absl::Span<const float> values = sum->span<float>();
    std::copy(values.begin(), values.end(), gradient_.data<float>());
    return absl::OkStatus();
  }

  void FillMask(absl::Span<float> mask) const override {
    const float others = step() >= MeasuresFrom(step()) ? kWhileMeasured : 0.0F;
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = is_chosen()[i] != 0 ? 1.0F : others;
  }

  std::vector<double> Scores(LayerTensors&) override {
    const int64_t phase = schedule().PhaseOf(step());
    const auto batches = static_cast<double>(BatchesOf(phase));
    std::vector<double> scores =
        candidates().SumOverRows(candidates().partition->SumsOfSquares(gradient_.span<float>()));
    for (double& score : scores) score = std::sqrt(score) / batches;
    return scores;
  }

 private:
  int64_t BatchesOf(int64_t phase) const {
    const int64_t steps = schedule().BeginOf(phase + 1) - schedule().BeginOf(phase);
    return std::min(options_.gradient_batches, std::max<int64_t>(1, steps / 2));
  }
  // The first step of the phase of `step` that holds the weights.
  int64_t MeasuresFrom(int64_t step) const {
    const int64_t phase = schedule().PhaseOf(step);
    return schedule().BeginOf(phase + 1) - BatchesOf(phase);
  }

  const OmpOptions options_;
  Tensor gradient_;  // Sum over the steps of this phase that hold the weights.
};

}  // namespace

int64_t OmpBytes(const FeatureLayer& features, int64_t) {
  return 2 * 4 * features.layer.element_count();
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewOmp(const OmpOptions& options,
                                                        CandidateFeatures candidates, int64_t count,
                                                        int64_t total_steps) {
  if (options.gradient_batches < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "omp.gradient_batches is ", options.gradient_batches, ": it must be at least 1"));
  }
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, options.features_per_step,
                                             /*warmup_fraction=*/0, total_steps));
  return std::make_unique<Omp>(options, std::move(candidates), schedule);
}

}  // namespace topiary
