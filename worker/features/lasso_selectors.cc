#include "worker/features/lasso_selectors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr float kInitialDeviation = 0.001F;

// ||W_T|| for the rows T of each feature.
std::vector<double> Norms(const CandidateFeatures& candidates, absl::Span<const float> weight) {
  std::vector<double> norms = candidates.SumOverRows(candidates.partition->SumsOfSquares(weight));
  for (double& norm : norms) norm = std::sqrt(norm);
  return norms;
}

double SizeFactor(const std::vector<int64_t>& rows) {
  return std::sqrt(static_cast<double>(rows.size()));
}

class LassoSelector : public FeatureSelector {
 public:
  LassoSelector(absl::string_view name, double strength, uint64_t seed,
                CandidateFeatures candidates, const SelectionSchedule& schedule)
      : FeatureSelector(std::move(candidates), schedule),
        name_(name),
        strength_(strength),
        seed_(seed) {
    RefreshScales();
  }

  absl::string_view name() const override { return name_; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    if (step == 0) {
      Random random(seed_, kStreamFeatures, 1);
      for (float& value : tensors.MutableRawWeights(0)) value = kInitialDeviation * random.Normal();
    }
    return FeatureSelector::BeginStep(step, tensors);
  }

  void AfterBackward(LayerTensors& tensors) override {
    AddLassoGradient(candidates(), is_chosen(), strength_, tensors.RawWeights(0),
                     tensors.MutableGradients(0));
  }

 protected:
  void FillMask(absl::Span<float> mask) const override {
    std::fill(mask.begin(), mask.end(), 1.0F);
  }

  std::vector<double> Scores(LayerTensors& tensors) override {
    std::vector<double> scores = Norms(candidates(), tensors.RawWeights(0));
    for (size_t i = 0; i < scores.size(); ++i) scores[i] /= SizeFactor(candidates().rows[i]);
    return scores;
  }

 private:
  const absl::string_view name_;
  const double strength_;
  const uint64_t seed_;
};

absl::StatusOr<std::unique_ptr<FeatureSelector>> New(absl::string_view name, double strength,
                                                     uint64_t seed, CandidateFeatures candidates,
                                                     int64_t count, int64_t per_step,
                                                     int64_t total_steps) {
  if (!(strength > 0 && strength <= 1000)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".strength is ", strength, ": it must be above 0 and at most 1,000"));
  }
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, per_step,
                                             /*warmup_fraction=*/0, total_steps));
  return std::make_unique<LassoSelector>(name, strength, seed, std::move(candidates), schedule);
}

}  // namespace

void AddLassoGradient(const CandidateFeatures& candidates, absl::Span<const uint8_t> chosen,
                      double strength, absl::Span<const float> weight, absl::Span<float> gradient) {
  const std::vector<double> norms = Norms(candidates, weight);
  std::vector<double> factors(candidates.partition->block_count(), 0.0);
  for (size_t i = 0; i < norms.size(); ++i) {
    if (chosen[i] != 0 || norms[i] == 0) continue;
    for (const int64_t row : candidates.rows[i]) {
      factors[row] = strength * SizeFactor(candidates.rows[i]) / norms[i];
    }
  }
  for (const BlockRun& run : candidates.partition->runs()->runs) {
    for (int32_t i = 0; i < run.length; ++i) {
      const int64_t at = run.At(i);
      gradient[at] += static_cast<float>(factors[run.BlockOf(i)] * weight[at]);
    }
  }
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSequentialLasso(
    const SequentialLassoOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  return New("sequential_lasso", options.strength, options.seed, std::move(candidates), count,
             options.features_per_step, total_steps);
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewGroupLassoSelector(
    const GroupLassoSelectorOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  return New("group_lasso", options.strength, options.seed, std::move(candidates), count, count,
             total_steps);
}

}  // namespace topiary
