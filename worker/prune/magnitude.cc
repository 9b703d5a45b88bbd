#include "worker/prune/magnitude.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

class MagnitudeMethod : public PhasedMethod {
 public:
  MagnitudeMethod(const MagnitudeOptions& options, const PhasedOptions& phased, PhasePlan plan,
                  std::vector<MethodLayer> layers)
      : PhasedMethod(phased, std::move(plan), std::move(layers)), options_(options) {}

  absl::string_view name() const override { return "magnitude"; }

 protected:
  double SparsityAt(double target, double t) const override {
    switch (options_.schedule) {
      case MagnitudeOptions::Schedule::kOneShot:
        return target;
      case MagnitudeOptions::Schedule::kGradual:
        return CubicSparsity(0, target, t);
      case MagnitudeOptions::Schedule::kIterative:
        return IterativeSparsity(target, options_.rounds, t);
    }
    return target;
  }

  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }

 private:
  const MagnitudeOptions options_;
};

absl::StatusOr<std::vector<PhaseShare>> PhasesOf(const MagnitudeOptions& options) {
  switch (options.schedule) {
    case MagnitudeOptions::Schedule::kOneShot:
      return OneShotPhases(options.at_fraction, "magnitude.one_shot.at_fraction");
    case MagnitudeOptions::Schedule::kGradual:
      return GradualPhases(options.begin_fraction, options.end_fraction, "magnitude.gradual");
    case MagnitudeOptions::Schedule::kIterative:
      return GradualPhases(options.begin_fraction, options.end_fraction, "magnitude.iterative");
  }
  return absl::InternalError("a schedule of magnitude that is none");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewMagnitudeMethod(const MagnitudeOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps) {
  if (options.refresh_steps < 0) {
    return absl::InvalidArgumentError("magnitude.gradual.refresh_steps must be >= 1");
  }
  if (options.rounds < 1) {
    return absl::InvalidArgumentError("magnitude.iterative.rounds must be >= 1");
  }
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares, PhasesOf(options));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  PhasedOptions phased = PhasedOptions::For(target);
  const bool iterative = options.schedule == MagnitudeOptions::Schedule::kIterative;
  // A round may begin at any step; within one nothing goes and nothing is read.
  phased.refresh_steps = iterative ? 1 : options.refresh_steps;
  return std::make_unique<MagnitudeMethod>(options, phased, std::move(plan), std::move(layers));
}

}  // namespace topiary
