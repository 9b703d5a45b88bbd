#include "worker/prune/movement.h"

#include <utility>

#include "absl/status/status.h"
#include "common/status_macros.h"
#include "worker/prune/schedule.h"
#include "worker/prune/summing_method.h"

namespace topiary {
namespace {

class Movement : public SummingMethod {
 public:
  Movement(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : SummingMethod(options, std::move(plan), std::move(layers)) {}

  absl::string_view name() const override { return "movement"; }
  bool wants_inner_products() const override { return true; }

 protected:
  double SparsityAt(double target, double t) const override { return CubicSparsity(0, target, t); }

  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    std::vector<std::vector<float>> scores = sums();
    for (std::vector<float>& layer : scores) {
      for (float& score : layer) score = -score;
    }
    return scores;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewMovement(const MovementOptions& options,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps) {
  if (options.refresh_steps < 0) {
    return absl::InvalidArgumentError("movement.refresh_steps must be >= 1");
  }
  ASSIGN_OR_RETURN(
      PhasePlan plan,
      GradualPlanAfterSteps(options.begin_fraction, options.end_fraction, "movement", total_steps));
  PhasedOptions phased = PhasedOptions::For(target);
  phased.refresh_steps = options.refresh_steps;
  phased.blocks_return = true;
  return std::make_unique<Movement>(phased, std::move(plan), std::move(layers));
}

}  // namespace topiary
