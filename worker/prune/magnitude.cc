#include "worker/prune/magnitude.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

class MagnitudeMethod : public PhasedMethod {
 public:
  MagnitudeMethod(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)) {}

  absl::string_view name() const override { return "magnitude"; }

 protected:
  double SparsityAt(double target, double t) const override { return CubicSparsity(0, target, t); }

  std::vector<std::vector<float>> Scores(WeightReader& weights) override {
    std::vector<std::vector<float>> scores;
    for (size_t i = 0; i < layers().size(); ++i) {
      const std::vector<double> squares =
          layers()[i].partition->SumsOfSquares(weights.RawWeights(static_cast<int>(i)));
      std::vector<float> norms;
      norms.reserve(squares.size());
      for (const double square : squares) norms.push_back(static_cast<float>(std::sqrt(square)));
      scores.push_back(std::move(norms));
    }
    return scores;
  }
};

absl::StatusOr<std::vector<PhaseShare>> Shares(const MagnitudeOptions& options) {
  if (options.schedule == MagnitudeOptions::Schedule::kOneShot) {
    const double at = options.at_fraction;
    if (!(at >= 0 && at < 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("magnitude.one_shot.at_fraction is ", at, ": it must lie in [0, 1)"));
    }
    return std::vector<PhaseShare>{{PhaseKind::kDense, at}, {PhaseKind::kSparse, 1 - at}};
  }
  const double begin = options.begin_fraction;
  const double end = options.end_fraction;
  if (!(begin >= 0 && begin < end && end <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("magnitude.gradual: begin_fraction ", begin,
                                                   " and end_fraction ", end,
                                                   " must satisfy 0 <= begin < end <= 1"));
  }
  return std::vector<PhaseShare>{{PhaseKind::kDense, begin},
                                 {PhaseKind::kSparsify, end - begin},
                                 {PhaseKind::kSparse, 1 - end}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewMagnitudeMethod(const MagnitudeOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps) {
  if (options.refresh_steps < 0) {
    return absl::InvalidArgumentError("magnitude.gradual.refresh_steps must be >= 1");
  }
  ASSIGN_OR_RETURN(std::vector<PhaseShare> shares, Shares(options));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  PhasedOptions phased;
  phased.budget = target.budget;
  phased.sparsity = target.sparsity.value_or(0);
  phased.refresh_steps = options.refresh_steps;
  return std::make_unique<MagnitudeMethod>(phased, std::move(plan), std::move(layers));
}

}  // namespace topiary
