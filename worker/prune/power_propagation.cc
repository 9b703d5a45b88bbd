#include "worker/prune/power_propagation.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class PowerPropagation : public PhasedMethod {
 public:
  PowerPropagation(const PowerPropagationOptions& options, const PhasedOptions& phased,
                   PhasePlan plan, std::vector<MethodLayer> layers)
      : PhasedMethod(phased, std::move(plan), std::move(layers)), options_(options) {}

  absl::string_view name() const override { return "power_propagation"; }

  void WriteEffectiveWeights(LayerTensors& tensors) override {
    for (size_t i = 0; i < layers().size(); ++i) {
      const int index = static_cast<int>(i);
      options_.power.Apply(*layers()[i].partition, support(index), tensors.RawWeights(index),
                           tensors.MutableEffectiveWeights(index));
    }
  }

  void AfterBackward(LayerTensors& tensors) override {
    for (size_t i = 0; i < layers().size(); ++i) {
      const int index = static_cast<int>(i);
      options_.power.ChainGradient(*layers()[i].partition, tensors.RawWeights(index),
                                   tensors.MutableGradients(index));
    }
  }

 protected:
  void BeginRun(LayerTensors& tensors) override {
    for (size_t i = 0; i < layers().size(); ++i) {
      options_.power.Invert(*layers()[i].partition, tensors.MutableRawWeights(static_cast<int>(i)));
    }
  }

  double SparsityAt(double target, double t) const override {
    return options_.SparsityAt(target, t);
  }

  std::vector<std::vector<float>> Scores(LayerTensors& tensors) override {
    std::vector<std::vector<float>> scores;
    for (size_t i = 0; i < layers().size(); ++i) {
      const BlockPartition& partition = *layers()[i].partition;
      const absl::Span<const float> phi = tensors.RawWeights(static_cast<int>(i));
      std::vector<float> theta(phi.size());
      options_.power.Apply(partition, Support(partition.block_count(), 1), phi,
                           absl::MakeSpan(theta));
      scores.push_back(BlockNorms(partition, theta));
    }
    return scores;
  }

 private:
  const PowerPropagationOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewPowerPropagation(const PowerPropagationOptions& options,
                                                            const PruningTarget& target,
                                                            std::vector<MethodLayer> layers,
                                                            int64_t total_steps) {
  if (!(options.power.exponent > 1 && options.power.exponent <= 10)) {
    return absl::InvalidArgumentError(absl::StrCat("power_propagation.element.exponent is ",
                                                   options.power.exponent,
                                                   ": it must be above 1 and at most 10"));
  }
  ASSIGN_OR_RETURN(PhasePlan plan, PhasesOf(options, "power_propagation", total_steps));
  return std::make_unique<PowerPropagation>(options, PhasedOptionsOf(options, target),
                                            std::move(plan), std::move(layers));
}

}  // namespace topiary
