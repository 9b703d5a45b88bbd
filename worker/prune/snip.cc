#include "worker/prune/snip.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/summing_method.h"

namespace topiary {
namespace {

class Snip : public SummingMethod {
 public:
  Snip(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : SummingMethod(options, std::move(plan), std::move(layers)) {}

  absl::string_view name() const override { return "snip"; }

 protected:
  double SparsityAt(double target, double) const override { return target; }

  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    std::vector<std::vector<float>> scores = sums();
    for (std::vector<float>& layer : scores) {
      for (float& score : layer) score = std::abs(score);
    }
    return scores;
  }

  // Sums are of these steps alone.
  bool HoldsWeightsAt(const PhasePosition& at, int64_t) const override {
    return at.phase.kind == PhaseKind::kDense;
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewSnip(const SnipOptions& options,
                                                const PruningTarget& target,
                                                std::vector<MethodLayer> layers,
                                                int64_t total_steps) {
  if (options.batches < 1 || options.batches >= total_steps) {
    return absl::InvalidArgumentError(absl::StrCat("snip.batches is ", options.batches,
                                                   ": it must be at least 1 and less than ",
                                                   total_steps, ", the steps of the job"));
  }
  const auto measured = static_cast<double>(options.batches);
  const auto trained = static_cast<double>(total_steps - options.batches);
  ASSIGN_OR_RETURN(PhasePlan plan,
                   PhasePlan::Create({{PhaseKind::kDense, measured}, {PhaseKind::kSparse, trained}},
                                     total_steps));
  return std::make_unique<Snip>(PhasedOptions::For(target), std::move(plan), std::move(layers));
}

}  // namespace topiary
