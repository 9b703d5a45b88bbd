#include "worker/prune/random_pruning.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class RandomPruning : public PhasedMethod {
 public:
  RandomPruning(uint64_t seed, const PhasedOptions& options, PhasePlan plan,
                std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)), seed_(seed) {}

  absl::string_view name() const override { return "random"; }

 protected:
  double SparsityAt(double target, double) const override { return target; }
  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    return RandomScores(layers(), seed_);
  }

 private:
  const uint64_t seed_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewRandomPruning(const RandomPruningOptions& options,
                                                         const PruningTarget& target,
                                                         std::vector<MethodLayer> layers,
                                                         int64_t total_steps) {
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares,
                   OneShotPhases(options.at_fraction, "random.at_fraction"));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  return std::make_unique<RandomPruning>(options.seed, PhasedOptions::For(target), std::move(plan),
                                         std::move(layers));
}

}  // namespace topiary
