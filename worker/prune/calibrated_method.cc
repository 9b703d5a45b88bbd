#include "worker/prune/calibrated_method.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class CalibratedMethod final : public PhasedMethod {
 public:
  CalibratedMethod(absl::string_view name, const PhasedOptions& options, PhasePlan plan,
                   std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)), name_(name) {}

  absl::string_view name() const override { return name_; }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  // Asked for only where more blocks live than the target leaves: no support was loaded.
  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }

 private:
  const std::string name_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewCalibratedMethod(absl::string_view name,
                                                            const PruningTarget& target,
                                                            std::vector<MethodLayer> layers,
                                                            int64_t total_steps) {
  if (target.budget == BudgetKind::kGlobal) {
    return absl::InvalidArgumentError(absl::StrCat("target.budget must not be global with ", name,
                                                   ", which prunes one layer after another"));
  }
  PhasePlan plan;
  if (total_steps > 0) {
    ASSIGN_OR_RETURN(plan, PhasePlan::Create({{PhaseKind::kSparse, 1}}, total_steps));
  }
  return std::make_unique<CalibratedMethod>(name, PhasedOptions::For(target), std::move(plan),
                                            std::move(layers));
}

}  // namespace topiary
