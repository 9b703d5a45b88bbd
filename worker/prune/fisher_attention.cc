#include "worker/prune/fisher_attention.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "worker/prune/attention_method.h"
#include "worker/prune/block_numbers.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/phases.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

constexpr absl::string_view kFisher = "fisher";

class FisherAttention : public AttentionMethod {
 public:
  FisherAttention(const AttentionOptions& attention, double decay, const PhasedOptions& phased,
                  PhasePlan plan, std::vector<MethodLayer> layers)
      : AttentionMethod(attention, phased, std::move(plan), std::move(layers)), decay_(decay) {
    for (const MethodLayer& layer : this->layers()) fisher_.emplace_back(layer.block_count(), 0.0F);
  }

  absl::string_view name() const override { return "fisher_attention"; }

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
    AttentionMethod::EndStep(inner_products);
    for (size_t i = 0; i < fisher_.size(); ++i) {
      const Support& live = support(static_cast<int>(i));
      for (size_t block = 0; block < fisher_[i].size(); ++block) {
        if (live[block] == 0) continue;  // Gone for good.
        const double gradient = attention(i)[block] * inner_products[i][block];
        fisher_[i][block] =
            static_cast<float>(decay_ * fisher_[i][block] + (1 - decay_) * gradient * gradient);
      }
    }
  }

  MethodState Save() const override {
    MethodState state = AttentionMethod::Save();
    state.merge(BlockNumbersState(kFisher, layers(), fisher_));
    return state;
  }

  absl::Status Load(const MethodState& state) override {
    ASSIGN_OR_RETURN(std::vector<std::vector<float>> loaded,
                     FindBlockNumbers(state, kFisher, layers()));
    RETURN_IF_ERROR(AttentionMethod::Load(state));
    fisher_ = std::move(loaded);
    return absl::OkStatus();
  }

 protected:
  double SparsityAt(double target, double t) const override { return CubicSparsity(0, target, t); }
  std::vector<std::vector<float>> Scores(LayerTensors&) override { return fisher_; }

 private:
  const double decay_;
  std::vector<std::vector<float>> fisher_;  // One number per block and layer.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewFisherAttention(const FisherAttentionOptions& options,
                                                           const PruningTarget& target,
                                                           std::vector<MethodLayer> layers,
                                                           int64_t total_steps) {
  AttentionOptions attention;
  attention.logits_learning_rate_multiplier = options.logits_learning_rate_multiplier;
  attention.logits_weight_decay = options.logits_weight_decay;
  attention.clip_attention = false;
  RETURN_IF_ERROR(CheckAttentionOptions(attention, "fisher_attention"));
  if (!(options.fisher_decay >= 0 && options.fisher_decay < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("fisher_attention.fisher_decay is ",
                                                   options.fisher_decay, ": it must be in [0, 1)"));
  }
  if (options.refresh_steps < 0) {
    return absl::InvalidArgumentError("fisher_attention.refresh_steps must be >= 1");
  }
  ASSIGN_OR_RETURN(PhasePlan plan,
                   GradualPlanAfterSteps(options.begin_fraction, options.end_fraction,
                                         "fisher_attention", total_steps));
  PhasedOptions phased = PhasedOptions::For(target);
  phased.refresh_steps = options.refresh_steps;
  return std::make_unique<FisherAttention>(attention, options.fisher_decay, phased, std::move(plan),
                                           std::move(layers));
}

}  // namespace topiary
