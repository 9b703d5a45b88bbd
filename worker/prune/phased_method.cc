#include "worker/prune/phased_method.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {

PhasedOptions PhasedOptions::For(const PruningTarget& target) {
  PhasedOptions options;
  options.budget = target.budget;
  options.sparsity = target.sparsity.value_or(0);  // 0 where each layer has its own.
  options.n_of_m = target.n_of_m;
  return options;
}

MethodState SupportState(absl::Span<const MethodLayer> layers, absl::Span<const Support> supports) {
  MethodState state;
  for (size_t i = 0; i < layers.size(); ++i) {
    state.emplace(
        absl::StrCat("support/", layers[i].weight),
        Tensor::FromVector(Shape({static_cast<int64_t>(supports[i].size())}), supports[i]));
  }
  return state;
}

PhasedMethod::PhasedMethod(const PhasedOptions& options, PhasePlan plan,
                           std::vector<MethodLayer> layers)
    : options_(options), plan_(std::move(plan)), layers_(std::move(layers)) {
  for (const MethodLayer& layer : layers_) {
    supports_.emplace_back(layer.block_count(), 1);
    scales_.emplace_back(layer.block_count(), 1.0F);
  }
}

StepActions PhasedMethod::BeginStep(int64_t step, LayerTensors& tensors) {
  const PhasePosition at = plan_.At(step);
  step_ = step;
  if (step == 0) BeginRun(tensors);
  StepActions actions;
  actions.hold_weights = HoldsWeightsAt(at, step);
  actions.phase_begins = at.first;
  actions.reset_optimizer = at.first && step > 0 && options_.reset_optimizer_at_phases;
  switch (at.phase.kind) {
    case PhaseKind::kDense:
      if (at.first) actions.changed_blocks = ReviveAll(tensors);
      break;
    case PhaseKind::kSparsify:
      if (SelectsAt(at, step)) {
        actions.changed_blocks = Select(at.t, options_.blocks_return, tensors);
      }
      break;
    case PhaseKind::kSparse:
      if (at.first) actions.changed_blocks = Select(1, /*from_all=*/false, tensors);
      break;
  }
  actions.settled_until = SettledUntil(step);
  RefreshScales();
  return actions;
}

std::optional<int64_t> PhasedMethod::SettledUntil(int64_t step) const {
  const int64_t end = plan_.total_steps();
  if (!options_.in_rounds) return step == last_settling_step() ? std::optional(end) : std::nullopt;
  return BeginsRound(step) ? std::optional(EdgeOfRound(step, end) + 1) : std::nullopt;
}

std::optional<int64_t> PhasedMethod::last_settling_step() const {
  if (plan_.phases().empty()) return std::nullopt;
  if (!options_.in_rounds) {
    const Phase& last = plan_.phases().back();
    return last.kind == PhaseKind::kSparse ? std::optional(last.begin) : std::nullopt;
  }
  const int64_t step = EdgeOfRound(plan_.total_steps() - 1, -1);
  return BeginsRound(step) ? std::optional(step) : std::nullopt;
}

// By what is kept and not by the curve: of few blocks, some rounds take none.
bool PhasedMethod::BeginsRound(int64_t step) const {
  return KeptOf(ProgressAt(step)) != KeptOf(step == 0 ? 0 : ProgressAt(step - 1));
}

// By halves, since runs may have a billion steps: over a plan in rounds, what is kept only becomes
// less.
int64_t PhasedMethod::EdgeOfRound(int64_t within, int64_t beyond) const {
  const std::vector<int64_t> kept = KeptOf(ProgressAt(within));
  while (std::abs(beyond - within) > 1) {
    const int64_t middle = within + (beyond - within) / 2;
    (KeptOf(ProgressAt(middle)) == kept ? within : beyond) = middle;
  }
  return within;
}

double PhasedMethod::ProgressAt(int64_t step) const {
  const PhasePosition at = plan_.At(step);
  if (at.phase.kind == PhaseKind::kSparsify) return at.t;
  return at.phase.kind == PhaseKind::kSparse ? 1 : 0;
}

std::vector<int64_t> PhasedMethod::KeptOf(double t) const {
  const bool global = options_.budget == BudgetKind::kGlobal;
  std::vector<int64_t> kept;
  int64_t all = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    kept.push_back(global ? RangeAt(i, t).most : KeptAt(t, i));
    all += layers_[i].block_count();
  }
  if (global) kept.push_back(KeptBlocks(SparsityAt(options_.sparsity, t), all));
  return kept;
}

bool PhasedMethod::SelectsAt(const PhasePosition& at, int64_t step) const {
  const int64_t every = options_.refresh_steps > 0 ? options_.refresh_steps
                                                   : std::max<int64_t>(1, at.phase.length / 100);
  return (step - at.phase.begin) % every == 0 || step == at.phase.end() - 1;
}

int64_t PhasedMethod::Select(double t, bool from_all, LayerTensors& tensors) {
  const bool global = options_.budget == BudgetKind::kGlobal;
  std::vector<int64_t> keep;  // Of each layer; of all together where the budget is global.
  std::vector<KeptRange> ranges;
  bool any_goes = false;
  if (global) {
    const BlockCounts blocks = CountBlocks(*this);
    keep.push_back(KeptBlocks(SparsityAt(options_.sparsity, t), blocks.total));
    any_goes = keep[0] < blocks.live;
    for (size_t i = 0; i < layers_.size(); ++i) {
      ranges.push_back(RangeAt(i, t));
      any_goes = any_goes || ranges[i].most < LiveBlocks(supports_[i]);
    }
  } else {
    for (size_t i = 0; i < layers_.size(); ++i) {
      keep.push_back(KeptAt(t, i));
      any_goes = any_goes || keep[i] < LiveBlocks(supports_[i]);
    }
  }
  if (!any_goes && !from_all) return 0;
  const std::vector<std::vector<float>> scores = Scores(tensors);
  const std::vector<Support> candidates =
      from_all ? std::vector<Support>(supports_.size()) : supports_;
  std::vector<Support> selected;
  if (global) {
    selected = SelectTopBlocksGlobally(scores, candidates, keep[0], ranges);
  } else {
    for (size_t i = 0; i < layers_.size(); ++i) {
      selected.push_back(options_.n_of_m.has_value()
                             ? SelectNOfM(*layers_[i].partition, *options_.n_of_m, scores[i],
                                          candidates[i], keep[i])
                             : SelectTopBlocks(scores[i], candidates[i], keep[i]));
    }
  }
  std::swap(supports_, selected);
  int64_t changed = 0;
  for (size_t i = 0; i < selected.size(); ++i) {
    for (size_t block = 0; block < selected[i].size(); ++block) {
      changed += selected[i][block] != supports_[i][block] ? 1 : 0;
    }
  }
  return changed;
}

KeptRange PhasedMethod::RangeAt(size_t index, double t) const {
  const MethodLayer& layer = layers_[index];
  const int64_t count = layer.block_count();
  // On the way a layer has the room that it would have if it went to its bound by itself.
  return {KeptBlocks(layer.max_sparsity, count),
          std::max(KeptBlocks(SparsityAt(layer.min_sparsity, t), count),
                   KeptBlocks(layer.min_sparsity, count))};
}

int64_t PhasedMethod::KeptAt(double t, size_t index) const {
  const int64_t blocks =
      KeptBlocks(SparsityAt(TargetOf(index), t), static_cast<int64_t>(supports_[index].size()));
  if (!options_.n_of_m.has_value()) return blocks;
  const int64_t in_the_end = KeptElements(*layers_[index].partition, *options_.n_of_m);
  return t < 1 ? std::max(blocks, in_the_end) : in_the_end;
}

int64_t PhasedMethod::ReviveAll(LayerTensors& tensors) {
  int64_t changed = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Support& support = supports_[i];
    const int64_t returning = static_cast<int64_t>(support.size()) - LiveBlocks(support);
    if (returning > 0 && options_.restart_at_zero) {
      ZeroPruned(layers_[i], static_cast<int>(i), support, tensors);
    }
    changed += returning;
    std::fill(support.begin(), support.end(), uint8_t{1});
  }
  return changed;
}

void PhasedMethod::RefreshScales() {
  for (size_t i = 0; i < supports_.size(); ++i) {
    std::copy(supports_[i].begin(), supports_[i].end(), scales_[i].begin());
  }
}

MethodState PhasedMethod::Save() const { return SupportState(layers_, supports_); }

absl::Status PhasedMethod::Load(const MethodState& state) {
  std::vector<Support> loaded;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string key = absl::StrCat("support/", layers_[i].weight);
    ASSIGN_OR_RETURN(const Tensor* support, FindState(state, key, DType::kUint8,
                                                      static_cast<int64_t>(supports_[i].size())));
    const absl::Span<const uint8_t> values = support->span<uint8_t>();
    loaded.emplace_back(values.begin(), values.end());
  }
  supports_ = std::move(loaded);
  RefreshScales();
  return absl::OkStatus();
}

}  // namespace topiary
