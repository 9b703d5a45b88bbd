#include "worker/prune/ac_dc.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class AcDc : public PhasedMethod {
 public:
  AcDc(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)) {}

  absl::string_view name() const override { return "ac_dc"; }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }
};

absl::Status CheckPhases(const std::vector<PhaseShare>& phases) {
  for (size_t i = 0; i < phases.size(); ++i) {
    if (phases[i].kind == PhaseKind::kSparsify) {
      return absl::InvalidArgumentError(
          absl::StrCat("ac_dc.phases[", i, "] is a sparsification: use dense and sparse phases"));
    }
  }
  if (phases.back().kind == PhaseKind::kDense) {
    return absl::InvalidArgumentError(
        "ac_dc.phases: the last phase is dense, so that nothing would be pruned: end with a sparse "
        "phase");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewAcDc(const AcDcOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps) {
  std::vector<PhaseShare> phases = options.phases;
  if (phases.empty()) {
    ASSIGN_OR_RETURN(phases, PhasePreset("ac_dc_imagenet"));
  }
  RETURN_IF_ERROR(CheckPhases(phases));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(phases, total_steps));
  PhasedOptions phased = PhasedOptions::For(target);
  phased.restart_at_zero = options.restart_at_zero;
  phased.reset_optimizer_at_phases = options.reset_optimizer_at_phases;
  return std::make_unique<AcDc>(phased, std::move(plan), std::move(layers));
}

}  // namespace topiary
