#include "worker/prune/magnitude.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

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
    return options_.SparsityAt(target, t);
  }
  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }

 private:
  const MagnitudeOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewMagnitudeMethod(const MagnitudeOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps) {
  ASSIGN_OR_RETURN(PhasePlan plan, PhasesOf(options, "magnitude", total_steps));
  return std::make_unique<MagnitudeMethod>(options, PhasedOptionsOf(options, target),
                                           std::move(plan), std::move(layers));
}

}  // namespace topiary
