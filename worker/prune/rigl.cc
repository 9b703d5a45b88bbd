#include "worker/prune/rigl.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

constexpr double kPi = 3.14159265358979323846;

class RigL : public PhasedMethod {
 public:
  RigL(const RigLOptions& options, const PhasedOptions& phased, PhasePlan plan,
       std::vector<MethodLayer> layers)
      : PhasedMethod(phased, std::move(plan), std::move(layers)), options_(options) {}

  absl::string_view name() const override { return "rigl"; }

  void AfterBackward(LayerTensors& tensors) override {
    const PhasePosition at = plan().At(step());
    if (!HoldsWeightsAt(at, step())) return;
    const double t = static_cast<double>(step()) / static_cast<double>(at.phase.end());
    const double part = options_.drop_fraction / 2 * (1 + std::cos(kPi * t));
    for (size_t i = 0; i < layers().size(); ++i) Replace(part, i, tensors);
  }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    return RandomScores(layers(), options_.seed);
  }
  // At the start alone.
  bool SelectsAt(const PhasePosition& at, int64_t) const override { return at.first; }

  bool HoldsWeightsAt(const PhasePosition& at, int64_t step) const override {
    return at.phase.kind == PhaseKind::kSparsify && step > 0 && step % options_.update_steps == 0;
  }

 private:
  // `part` of the live blocks of layer `i`.
  void Replace(double part, size_t i, LayerTensors& tensors) {
    const BlockPartition& partition = *layers()[i].partition;
    const int index = static_cast<int>(i);
    Support& live = mutable_support(i);
    const int64_t count = LiveBlocks(live);
    const auto replaced = static_cast<int64_t>(part * static_cast<double>(count));
    if (replaced == 0) return;
    const Support stays =
        SelectTopBlocks(BlockNorms(partition, tensors.RawWeights(index)), live, count - replaced);
    Support candidates(stays.size());
    for (size_t block = 0; block < stays.size(); ++block) candidates[block] = stays[block] == 0;
    const Support grown =
        SelectTopBlocks(BlockNorms(partition, tensors.Gradients(index)), candidates, replaced);
    // Those that were pruned and are grown start at 0.
    Support keeps_values(stays.size());
    for (size_t block = 0; block < stays.size(); ++block) {
      keeps_values[block] = grown[block] == 0 || live[block] != 0;
      live[block] = stays[block] != 0 || grown[block] != 0;
    }
    partition.ZeroPruned(keeps_values, tensors.MutableRawWeights(index));
  }

  const RigLOptions options_;
};

absl::Status CheckOptions(const RigLOptions& options) {
  if (!(options.drop_fraction > 0 && options.drop_fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rigl.drop_fraction is ", options.drop_fraction, ": it must lie in (0, 1]"));
  }
  if (options.update_steps < 2) {
    return absl::InvalidArgumentError(
        "rigl.update_steps must be >= 2: the step that replaces blocks trains nothing");
  }
  if (!(options.end_fraction > 0 && options.end_fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rigl.end_fraction is ", options.end_fraction, ": it must lie in (0, 1]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewRigL(const RigLOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps) {
  RETURN_IF_ERROR(CheckOptions(options));
  if (target.n_of_m.has_value()) {
    return absl::InvalidArgumentError("target.n_of_m: rigl grows blocks wherever they help");
  }
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares,
                   GradualPhases(0, options.end_fraction, "rigl"));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  const int64_t replacing = plan.phases().front().end();
  if (options.update_steps >= replacing) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rigl.update_steps is ", options.update_steps, ", and of ", total_steps, " steps ",
        replacing, " lie before rigl.end_fraction: no block would ever be replaced; lower it"));
  }
  return std::make_unique<RigL>(options, PhasedOptions::For(target), std::move(plan),
                                std::move(layers));
}

}  // namespace topiary
