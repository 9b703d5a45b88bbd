#include "worker/prune/sequential_attention_pp.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/attention.h"
#include "worker/prune/attention_method.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/schedule.h"

namespace topiary {
namespace {

class SequentialAttentionPlusPlus : public AttentionMethod {
 public:
  SequentialAttentionPlusPlus(const SequentialAttentionPlusPlusOptions& options,
                              const PhasedOptions& phased, PhasePlan plan,
                              std::vector<MethodLayer> layers)
      : AttentionMethod(options, phased, std::move(plan), std::move(layers)),
        schedule_constant_(options.schedule_constant) {}

  absl::string_view name() const override { return "sequential_attention_pp"; }

 protected:
  double SparsityAt(double target, double t) const override {
    return ExponentialSparsity(target, schedule_constant_, t);
  }

  std::vector<std::vector<float>> Scores(LayerTensors&) override {
    const bool between = options().budget == BudgetKind::kGlobal && softmax_count() > 1;
    std::vector<std::vector<float>> scores;
    for (size_t i = 0; i < layers().size(); ++i) {
      const absl::Span<const float> values = logits(i);
      scores.push_back(between ? LogBlockAttention(values)
                               : std::vector<float>(values.begin(), values.end()));
    }
    return scores;
  }

 private:
  const double schedule_constant_;
};

absl::Status CheckOptions(const SequentialAttentionPlusPlusOptions& options) {
  const auto refuse = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequential_attention_pp.", field, " is ", value, ": it must be ", range));
  };
  RETURN_IF_ERROR(CheckAttentionOptions(options, "sequential_attention_pp"));
  if (options.logits_learning_rate_multiplier == 0) {
    return refuse("logits_learning_rate_multiplier", 0, "above 0, or nothing would be learned");
  }
  if (!(options.schedule_constant > 0 && options.schedule_constant <= 100)) {
    return refuse("schedule_constant", options.schedule_constant, "above 0 and at most 100");
  }
  if (options.mask_refresh_steps < 0) {
    return refuse("mask_refresh_steps", static_cast<double>(options.mask_refresh_steps),
                  "at least 1");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewSequentialAttentionPlusPlus(
    const SequentialAttentionPlusPlusOptions& options, const PruningTarget& target,
    std::vector<MethodLayer> layers, int64_t total_steps) {
  RETURN_IF_ERROR(CheckOptions(options));
  std::vector<PhaseShare> shares = options.phases;
  if (shares.empty()) {
    ASSIGN_OR_RETURN(shares, PhasePreset("single"));
  }
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  if (plan.phases().back().kind == PhaseKind::kDense) {
    return absl::InvalidArgumentError(
        "sequential_attention_pp.phases: the last phase is dense, so that nothing would be pruned: "
        "end with a sparse phase");
  }
  PhasedOptions phased = PhasedOptions::For(target);
  phased.refresh_steps = options.mask_refresh_steps;
  phased.reset_optimizer_at_phases = options.reset_optimizer_at_phases;
  return std::make_unique<SequentialAttentionPlusPlus>(options, phased, std::move(plan),
                                                       std::move(layers));
}

}  // namespace topiary
