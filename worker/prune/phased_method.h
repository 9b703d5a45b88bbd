// What methods that follow a phase plan have in common: the support through the phases.
#ifndef TOPIARY_WORKER_PRUNE_PHASED_METHOD_H_
#define TOPIARY_WORKER_PRUNE_PHASED_METHOD_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/prune/budget.h"
#include "worker/prune/method.h"
#include "worker/prune/n_of_m.h"
#include "worker/prune/phases.h"
#include "worker/prune/support.h"

namespace topiary {

// How a support goes through the phases.
struct PhasedOptions {
  BudgetKind budget = BudgetKind::kUniform;
  double sparsity = 0.9;  // In [0, 1); of layers that have none of their own.
  // As PruningTarget::n_of_m: the best of each run are kept at any sparsity, and in the end no
  // others.
  std::optional<NOfM> n_of_m = std::nullopt;
  // Steps between two choices of the support in a sparsify phase; 0: max(1, 1 % of the phase).
  int64_t refresh_steps = 0;
  bool reset_optimizer_at_phases = false;
  // In a sparsify phase a pruned block returns where its score has come to be among the best.
  bool blocks_return = false;
  // A sparsify phase prunes in rounds: between two of them its curve is flat. The plan then has no
  // dense phase after it.
  bool in_rounds = false;
  // A block that a dense phase revives starts at 0, and not at the values that it was pruned with.
  bool restart_at_zero = false;

  // Budget, sparsity and N:M of `target`.
  static PhasedOptions For(const PruningTarget& target);
};

// "support/<weight>" of each layer, uint8, one number per block: what PhasedMethod saves and loads.
MethodState SupportState(absl::Span<const MethodLayer> layers, absl::Span<const Support> supports);

// Dense phase: every block is live. Sparsify phase: at its first step, every `refresh_steps` after
// it and at its last, the blocks of highest score among those still live are kept, as many as the
// curve says (monotone: none returns within the phase, unless `blocks_return`; exactly
// KeptBlocks(sparsity) at the end).
// Sparse phase: on entry the best KeptBlocks(sparsity) of the live blocks, then fixed.
//
// Where a sparsify or sparse phase follows a sparse one, the blocks pruned before stay pruned.
//
// A subclass gives score and curve, and may multiply the scales. Not thread-safe.
class PhasedMethod : public Method {
 public:
  PhasedMethod(const PhasedOptions& options, PhasePlan plan, std::vector<MethodLayer> layers);

  const PhasePlan& plan() const override { return plan_; }
  absl::Span<const MethodLayer> layers() const override { return layers_; }
  StepActions BeginStep(int64_t step, LayerTensors& tensors) final;
  absl::Span<const float> scales(int index) const override { return scales_[index]; }
  const Support& support(int index) const override { return supports_[index]; }
  // The first of a sparse phase that ends the run; in rounds that of the last round.
  std::optional<int64_t> last_settling_step() const override;
  bool wants_inner_products() const override { return false; }
  void EndStep(absl::Span<const absl::Span<const float>>) override {}
  void WriteEffectiveWeights(LayerTensors&) override {}
  void AfterBackward(LayerTensors&) override {}
  void AfterUpdate(double, LayerTensors&) override {}
  std::vector<TrainableState> trainable_state() override { return {}; }
  // 1 for live blocks, 0 for pruned ones.
  void RefreshScales() override;

  // SupportState().
  MethodState Save() const override;
  absl::Status Load(const MethodState& state) override;

 protected:
  // Sparsity at progress t in (0, 1] of a sparsify phase on the way to `target`, which it is at 1.
  virtual double SparsityAt(double target, double t) const = 0;
  // One score per block and layer: the higher, the longer a block stays.
  virtual std::vector<std::vector<float>> Scores(LayerTensors& tensors) = 0;
  // Before anything else in the first step of the run: may change raw weights.
  virtual void BeginRun(LayerTensors&) {}
  // StepActions::hold_weights of step `step`.
  virtual bool HoldsWeightsAt(const PhasePosition&, int64_t) const { return false; }
  // Whether the support is chosen at the beginning of step `step` of a sparsify phase.
  virtual bool SelectsAt(const PhasePosition& at, int64_t step) const;

  // Replaces the support by that of progress t, out of the live blocks or of all; returns how many
  // blocks changed. Asks for no scores where none goes and none may return.
  int64_t Select(double t, bool from_all, LayerTensors& tensors);

  // Where the step begun last lies; the first step before there is one.
  int64_t step() const { return step_; }
  PhaseKind phase() const { return plan_.At(step_).phase.kind; }
  Support& mutable_support(size_t index) { return supports_[index]; }

  const PhasedOptions& options() const { return options_; }
  // What layer `index` is to reach.
  double TargetOf(size_t index) const {
    return layers_[index].sparsity.value_or(options_.sparsity);
  }
  std::vector<std::vector<float>>& mutable_scales() { return scales_; }

 private:
  int64_t ReviveAll(LayerTensors& tensors);
  int64_t KeptAt(double t, size_t index) const;  // Blocks of a layer.
  // StepActions::settled_until of step `step`.
  std::optional<int64_t> SettledUntil(int64_t step) const;
  // Whether less is kept than before, of a method that prunes in rounds.
  bool BeginsRound(int64_t step) const;
  // The step that is nearest to `beyond`, on whichever side, of those between that keep as much as
  // `within`; `beyond` itself does not count, and need be no step.
  int64_t EdgeOfRound(int64_t within, int64_t beyond) const;
  // Of a sparsify phase t, of a dense one 0 and of a sparse one 1.
  double ProgressAt(int64_t step) const;
  // Blocks at progress t: of each layer, or at most of each and of all where they compete.
  std::vector<int64_t> KeptOf(double t) const;
  // Of layer `index` at progress t, where layers compete.
  KeptRange RangeAt(size_t index, double t) const;

  const PhasedOptions options_;
  const PhasePlan plan_;
  const std::vector<MethodLayer> layers_;
  std::vector<Support> supports_;
  std::vector<std::vector<float>> scales_;
  int64_t step_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_PHASED_METHOD_H_
