#include "worker/prune/snip.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/inner_product_sums.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class Snip : public PhasedMethod {
 public:
  Snip(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers)
      : PhasedMethod(options, std::move(plan), std::move(layers)), sums_(this->layers()) {}

  absl::string_view name() const override { return "snip"; }

  // Only of steps that hold the weights.
  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
    sums_.Add(inner_products);
  }

  MethodState Save() const override {
    MethodState state = PhasedMethod::Save();
    sums_.SaveTo(&state);
    return state;
  }

  absl::Status Load(const MethodState& state) override {
    InnerProductSums loaded = sums_;
    RETURN_IF_ERROR(loaded.LoadFrom(state));
    RETURN_IF_ERROR(PhasedMethod::Load(state));
    sums_ = std::move(loaded);
    return absl::OkStatus();
  }

 protected:
  double SparsityAt(double target, double) const override { return target; }

  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    std::vector<std::vector<float>> scores = sums_.values();
    for (std::vector<float>& layer : scores) {
      for (float& score : layer) score = std::abs(score);
    }
    return scores;
  }

  bool HoldsWeightsAt(const PhasePosition& at, int64_t) const override {
    return at.phase.kind == PhaseKind::kDense;
  }

 private:
  InnerProductSums sums_;
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
