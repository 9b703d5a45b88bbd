#include "worker/prune/iht.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class Iht : public PhasedMethod {
 public:
  Iht(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)) {}

  absl::string_view name() const override { return "iht"; }

  // While thresholding goes on, blocks at 0 are updated too: it is their weights that are 0, and
  // not their scales, which the optimizer takes for a mask.
  void RefreshScales() override {
    PhasedMethod::RefreshScales();
    if (phase() != PhaseKind::kSparsify) return;
    for (std::vector<float>& scales : mutable_scales()) {
      std::fill(scales.begin(), scales.end(), 1.0F);
    }
  }

  void AfterUpdate(double, LayerTensors& tensors) override {
    if (phase() != PhaseKind::kSparsify) return;
    Select(1, /*from_all=*/true, tensors);
    for (size_t i = 0; i < layers().size(); ++i) {
      const int index = static_cast<int>(i);
      layers()[i].partition->ZeroPruned(support(index), tensors.MutableRawWeights(index));
    }
  }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }
  // But after its update.
  bool SelectsAt(const PhasePosition&, int64_t) const override { return false; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewIht(const IhtOptions& options,
                                               const PruningTarget& target,
                                               std::vector<MethodLayer> layers,
                                               int64_t total_steps) {
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares,
                   GradualPhases(options.begin_fraction, options.end_fraction, "iht"));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  return std::make_unique<Iht>(PhasedOptions::For(target), std::move(plan), std::move(layers));
}

}  // namespace topiary
