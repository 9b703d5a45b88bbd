#include "worker/prune/group_lasso.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class GroupLasso : public PhasedMethod {
 public:
  GroupLasso(double strength, const PhasedOptions& options, PhasePlan plan,
             std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)), strength_(strength) {}

  absl::string_view name() const override { return "group_lasso"; }

  void AfterUpdate(double learning_rate, LayerTensors& tensors) override {
    if (phase() != PhaseKind::kDense) return;
    for (size_t i = 0; i < layers().size(); ++i) {
      const BlockPartition& partition = *layers()[i].partition;
      const int index = static_cast<int>(i);
      const std::vector<double> squares = partition.SumsOfSquares(tensors.RawWeights(index));
      std::vector<float> factors(squares.size(), 1.0F);
      for (size_t block = 0; block < squares.size(); ++block) {
        if (squares[block] == 0) continue;
        const auto elements =
            static_cast<double>(partition.ElementsIn(static_cast<int64_t>(block)));
        const double shrinkage =
            learning_rate * strength_ * std::sqrt(elements) / std::sqrt(squares[block]);
        // What is not a number stays so, and is seen as divergence: it is no less than 0 either.
        factors[block] = static_cast<float>(std::max(1 - shrinkage, 0.0));
      }
      partition.ScaleBlocks(factors, tensors.MutableRawWeights(index));
    }
  }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    return BlockNorms(layers(), tensors);
  }

 private:
  const double strength_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewGroupLasso(const GroupLassoOptions& options,
                                                      const PruningTarget& target,
                                                      std::vector<MethodLayer> layers,
                                                      int64_t total_steps) {
  if (!(options.strength > 0 && options.strength <= 1000)) {
    return absl::InvalidArgumentError(absl::StrCat("group_lasso.strength is ", options.strength,
                                                   ": it must be above 0 and at most 1,000"));
  }
  if (!(options.end_fraction > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "group_lasso.end_fraction is ", options.end_fraction, ": it must lie in (0, 1)"));
  }
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares,
                   OneShotPhases(options.end_fraction, "group_lasso.end_fraction"));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  if (plan.phases().front().kind != PhaseKind::kDense) {
    return absl::InvalidArgumentError(absl::StrCat("group_lasso.end_fraction is ",
                                                   options.end_fraction, ", which of ", total_steps,
                                                   " steps leaves none for the penalty: raise it"));
  }
  return std::make_unique<GroupLasso>(options.strength, PhasedOptions::For(target), std::move(plan),
                                      std::move(layers));
}

}  // namespace topiary
