// What the methods that choose features while a network trains have in common.
#ifndef TOPIARY_WORKER_FEATURES_FEATURE_SELECTOR_H_
#define TOPIARY_WORKER_FEATURES_FEATURE_SELECTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/features/feature_layer.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/method.h"
#include "worker/prune/phases.h"
#include "worker/prune/support.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// What a selector sees of a network: the weight of its first layer, cut in blocks of one row each,
// and the rows of each feature.
struct CandidateFeatures {
  std::string weight;
  std::shared_ptr<const BlockPartition> partition;
  std::vector<std::vector<int64_t>> rows;
  int64_t input_width = 0;  // FeatureLayer::input_width.
  int64_t size() const { return static_cast<int64_t>(rows.size()); }

  // Sums `of_rows`, one number per row of the weight, over the rows of each feature.
  template <typename Numbers>
  std::vector<double> SumOverRows(const Numbers& of_rows) const {
    std::vector<double> sums;
    sums.reserve(rows.size());
    for (const std::vector<int64_t>& of_feature : rows) {
      double sum = 0;
      for (const int64_t row : of_feature) sum += of_rows[row];
      sums.push_back(sum);
    }
    return sums;
  }
};

// INVALID_ARGUMENT as BlockPartition::Create().
absl::StatusOr<CandidateFeatures> CandidatesOf(const FeatureLayer& features);

// A feature that was chosen.
struct ChosenFeature {
  int64_t feature = 0;  // Index among the candidates.
  int64_t step = 0;     // Steps done by then.
  float score = 0;      // By which it was: what that is, each method says.
};

// When features are chosen in a run of `total_steps`: it begins with a warm-up without any choice;
// the rest is cut in equal phases, at the END of each of which `per_phase` features are chosen (in
// the last one what is missing).
class SelectionSchedule {
 public:
  // INVALID_ARGUMENT, naming the field of the spec and a remedy, unless 1 <= count < candidates,
  // 1 <= per_phase <= count, 0 <= warmup_fraction < 1 and each phase has a step.
  static absl::StatusOr<SelectionSchedule> Create(int64_t candidates, int64_t count,
                                                  int64_t per_phase, double warmup_fraction,
                                                  int64_t total_steps);

  int64_t count() const { return count_; }
  int64_t phases() const { return phases_; }
  int64_t warmup_steps() const { return warmup_; }
  int64_t total_steps() const { return total_; }
  // Of `step`, in [0, total_steps()): -1 in the warm-up, else a phase.
  int64_t PhaseOf(int64_t step) const;
  // First step of `phase` in [0, phases()], the last being the end of the run.
  int64_t BeginOf(int64_t phase) const;
  bool Ends(int64_t step) const {
    return PhaseOf(step) >= 0 && BeginOf(PhaseOf(step) + 1) == step + 1;
  }
  // How many are chosen at the end of `phase`.
  int64_t ToChoose(int64_t phase) const;
  // How many are chosen once `steps`, in [0, total_steps()], are done.
  int64_t ChosenAfter(int64_t steps) const;

 private:
  int64_t count_ = 0, per_phase_ = 0, phases_ = 0, warmup_ = 0, total_ = 0;
};

// A method whose blocks are the rows of the first layer. A subclass gives the mask of each feature,
// by which its rows are multiplied, and says when a phase ends what it is worth. After the last
// choice the mask is 1 for features that are chosen, 0 for others.
//
// Not thread-safe.
class FeatureSelector : public Method {
 public:
  FeatureSelector(CandidateFeatures candidates, const SelectionSchedule& schedule);

  // In the order of their choice. Complete after the last step.
  const std::vector<ChosenFeature>& chosen() const { return chosen_; }

  const PhasePlan& plan() const override { return plan_; }
  absl::Span<const MethodLayer> layers() const override { return layers_; }
  StepActions BeginStep(int64_t step, LayerTensors& tensors) override;
  absl::Span<const float> scales(int) const override { return scales_; }
  // 1 where the scale is not 0.
  const Support& support(int) const override { return support_; }
  void WriteEffectiveWeights(LayerTensors&) override {}
  void AfterBackward(LayerTensors&) override {}
  bool wants_inner_products() const override { return false; }
  void EndStep(absl::Span<const absl::Span<const float>>) override {}
  void AfterUpdate(double learning_rate, LayerTensors& tensors) override;
  std::vector<TrainableState> trainable_state() override { return {}; }
  void RefreshScales() override;
  // "selection_step", the step begun last; "chosen", int64, feature and step of each; and
  // "chosen_scores", float32.
  MethodState Save() const override;
  absl::Status Load(const MethodState& state) final;

 protected:
  // Takes over what a subclass adds to the state. INVALID_ARGUMENT, naming the entry; nothing is
  // changed then.
  virtual absl::Status LoadOwn(const MethodState&) { return absl::OkStatus(); }
  // The mask of each feature, while features are still to be chosen.
  virtual void FillMask(absl::Span<float> mask) const = 0;
  // One score per feature, for the choice at the end of a phase; those of chosen ones are not read.
  virtual std::vector<double> Scores(LayerTensors& tensors) = 0;
  // After a choice.
  virtual void AfterChoice() {}

  const CandidateFeatures& candidates() const { return candidates_; }
  const SelectionSchedule& schedule() const { return schedule_; }
  // The step begun last; 0 before there is one.
  int64_t step() const { return step_; }
  // 1 for each feature that is chosen, else 0.
  absl::Span<const uint8_t> is_chosen() const { return is_chosen_; }
  bool IsChosen(int64_t feature) const { return is_chosen_[feature] != 0; }
  bool Finished() const { return static_cast<int64_t>(chosen_.size()) == schedule_.count(); }

  // Chooses the features of highest score that the phase of the step begun last is to choose: ties
  // to the lower index; a score that is not a number counts as the lowest.
  void Choose(const std::vector<double>& scores);
  // The same of one, for selectors that rank in another way; AfterChoice() is not called.
  void ChooseFeature(int64_t feature, double score);

 private:
  const CandidateFeatures candidates_;
  const SelectionSchedule schedule_;
  const PhasePlan plan_;
  const std::vector<MethodLayer> layers_;
  int64_t step_ = 0;
  std::vector<ChosenFeature> chosen_;
  std::vector<uint8_t> is_chosen_;
  std::vector<float> scales_;
  Support support_;
};

// A selector that trains numbers beside the network, such as logits or gates: `per_feature` for
// each feature, which start at 0.
class TrainingSelector : public FeatureSelector {
 public:
  // `name` is that of TrainableState.
  TrainingSelector(CandidateFeatures candidates, const SelectionSchedule& schedule,
                   std::string name, double learning_rate_multiplier, int64_t per_feature = 1);

  std::vector<TrainableState> trainable_state() override;
  MethodState Save() const override;

 protected:
  absl::Status LoadOwn(const MethodState& state) override;
  absl::Span<const float> trained() const { return trained_.span<float>(); }
  absl::Span<float> mutable_trained() { return trained_.span<float>(); }
  absl::Span<float> mutable_gradient() { return gradient_.span<float>(); }

 private:
  const std::string name_;
  const double learning_rate_multiplier_;
  Tensor trained_;
  Tensor gradient_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_FEATURE_SELECTOR_H_
