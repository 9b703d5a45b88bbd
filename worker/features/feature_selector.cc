#include "worker/features/feature_selector.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

PhasePlan PlanOf(const SelectionSchedule& schedule) {
  const auto warmup = static_cast<double>(schedule.warmup_steps());
  const auto total = static_cast<double>(schedule.total_steps());
  return PhasePlan::Create({{PhaseKind::kDense, warmup}, {PhaseKind::kSparsify, total - warmup}},
                           schedule.total_steps())
      .value();
}

}  // namespace

absl::StatusOr<CandidateFeatures> CandidatesOf(const FeatureLayer& features) {
  CandidateFeatures candidates;
  candidates.weight = features.layer.weight;
  ASSIGN_OR_RETURN(BlockPartition partition,
                   BlockPartition::Create(features.layer, {1, features.layer.cols}));
  candidates.partition = std::make_shared<const BlockPartition>(std::move(partition));
  candidates.input_width = features.input_width;
  for (const Feature& feature : features.features) candidates.rows.push_back(feature.rows);
  return candidates;
}

absl::StatusOr<SelectionSchedule> SelectionSchedule::Create(int64_t candidates, int64_t count,
                                                            int64_t per_phase,
                                                            double warmup_fraction,
                                                            int64_t total_steps) {
  if (count < 1 || count >= candidates) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec.feature_selection.count is ", count, ": the model has ", candidates,
                     " features, of which at least 1 and not all can be chosen"));
  }
  if (per_phase < 1 || per_phase > count) {
    return absl::InvalidArgumentError(absl::StrCat("features_per_step is ", per_phase,
                                                   ": it must be at least 1 and at most ",
                                                   "count, which is ", count));
  }
  if (!(warmup_fraction >= 0 && warmup_fraction < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("warmup_fraction is ", warmup_fraction, ": it must be in [0, 1)"));
  }
  SelectionSchedule schedule;
  schedule.count_ = count;
  schedule.per_phase_ = per_phase;
  schedule.phases_ = (count + per_phase - 1) / per_phase;
  schedule.total_ = total_steps;
  schedule.warmup_ =
      static_cast<int64_t>(std::floor(warmup_fraction * static_cast<double>(total_steps)));
  if (total_steps - schedule.warmup_ < schedule.phases_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the selection has ", total_steps, " steps, ", schedule.warmup_, " of them warm-up, for ",
        schedule.phases_, " phases of at least one: raise spec.feature_selection.epochs or steps, ",
        "or choose more features per step"));
  }
  return schedule;
}

int64_t SelectionSchedule::PhaseOf(int64_t step) const {
  if (step < warmup_) return -1;
  // The largest phase with BeginOf(phase) <= step.
  return ((step - warmup_ + 1) * phases_ - 1) / (total_ - warmup_);
}

int64_t SelectionSchedule::BeginOf(int64_t phase) const {
  return warmup_ + (total_ - warmup_) * phase / phases_;
}

int64_t SelectionSchedule::ToChoose(int64_t phase) const {
  return std::min(per_phase_, count_ - phase * per_phase_);
}

int64_t SelectionSchedule::ChosenAfter(int64_t steps) const {
  const int64_t ended = steps == total_ ? phases_ : std::max<int64_t>(0, PhaseOf(steps));
  return std::min(count_, ended * per_phase_);
}

FeatureSelector::FeatureSelector(CandidateFeatures candidates, const SelectionSchedule& schedule)
    : candidates_(std::move(candidates)),
      schedule_(schedule),
      plan_(PlanOf(schedule)),
      layers_({{candidates_.weight, candidates_.partition}}),
      is_chosen_(candidates_.rows.size(), 0),
      scales_(candidates_.partition->block_count(), 1.0F),
      support_(candidates_.partition->block_count(), 1) {}

StepActions FeatureSelector::BeginStep(int64_t step, LayerTensors&) {
  step_ = step;
  RefreshScales();
  StepActions actions;
  actions.phase_begins = plan_.At(step).first;
  return actions;
}

void FeatureSelector::AfterUpdate(double, LayerTensors& tensors) {
  if (schedule_.Ends(step_)) Choose(Scores(tensors));
}

void FeatureSelector::Choose(const std::vector<double>& scores) {
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  std::vector<std::pair<double, int64_t>> left;  // The negative of a score, and whose it is.
  for (int64_t i = 0; i < candidates_.size(); ++i) {
    if (IsChosen(i)) continue;
    left.emplace_back(-(std::isnan(scores[i]) ? kLowest : scores[i]), i);
  }
  const int64_t wanted = std::min(schedule_.ToChoose(schedule_.PhaseOf(step_)),
                                  schedule_.count() - static_cast<int64_t>(chosen_.size()));
  std::partial_sort(left.begin(), left.begin() + wanted, left.end());
  for (int64_t n = 0; n < wanted; ++n) ChooseFeature(left[n].second, scores[left[n].second]);
  AfterChoice();
}

void FeatureSelector::ChooseFeature(int64_t feature, double score) {
  is_chosen_[feature] = 1;
  chosen_.push_back({feature, step_ + 1, static_cast<float>(score)});
}

void FeatureSelector::RefreshScales() {
  std::vector<float> mask(candidates_.rows.size());
  if (Finished()) {
    std::copy(is_chosen_.begin(), is_chosen_.end(), mask.begin());
  } else {
    FillMask(absl::MakeSpan(mask));
  }
  for (size_t i = 0; i < mask.size(); ++i) {
    for (const int64_t row : candidates_.rows[i]) {
      scales_[row] = mask[i];
      support_[row] = mask[i] != 0 ? 1 : 0;
    }
  }
}

MethodState FeatureSelector::Save() const {
  // -1 where none is chosen yet: the size of the state tells nothing of how far it is.
  std::vector<int64_t> features(2 * schedule_.count(), -1);
  std::vector<float> scores(schedule_.count(), 0);
  for (size_t i = 0; i < chosen_.size(); ++i) {
    features[2 * i] = chosen_[i].feature;
    features[2 * i + 1] = chosen_[i].step;
    scores[i] = chosen_[i].score;
  }
  MethodState state;
  state.emplace("selection_step", Tensor::FromVector<int64_t>(Shape({1}), {step_}));
  state.emplace("chosen", Tensor::FromVector(Shape({2 * schedule_.count()}), features));
  state.emplace("chosen_scores", Tensor::FromVector(Shape({schedule_.count()}), scores));
  return state;
}

absl::Status FeatureSelector::Load(const MethodState& state) {
  ASSIGN_OR_RETURN(const Tensor* features,
                   FindState(state, "chosen", DType::kInt64, 2 * schedule_.count()));
  ASSIGN_OR_RETURN(const Tensor* scores,
                   FindState(state, "chosen_scores", DType::kFloat32, schedule_.count()));
  ASSIGN_OR_RETURN(const Tensor* step, FindState(state, "selection_step", DType::kInt64, 1));
  const int64_t begun = step->data<int64_t>()[0];
  if (begun < 0 || begun >= schedule_.total_steps()) {
    return absl::InvalidArgumentError(absl::StrCat("training state: 'selection_step' is ", begun,
                                                   ", of ", schedule_.total_steps()));
  }
  std::vector<ChosenFeature> chosen;
  std::vector<uint8_t> is_chosen(candidates_.rows.size(), 0);
  for (int64_t i = 0; i < schedule_.count(); ++i) {
    const int64_t feature = features->data<int64_t>()[2 * i];
    if (feature == -1) break;
    if (feature < 0 || feature >= candidates_.size() || is_chosen[feature] != 0) {
      return absl::InvalidArgumentError(absl::StrCat("training state: 'chosen' has feature ",
                                                     feature, ", of ", candidates_.size(),
                                                     ", or has it twice"));
    }
    is_chosen[feature] = 1;
    chosen.push_back({feature, features->data<int64_t>()[2 * i + 1], scores->data<float>()[i]});
  }
  // The step begun last may have ended or not.
  const auto count = static_cast<int64_t>(chosen.size());
  if (count != schedule_.ChosenAfter(begun) && count != schedule_.ChosenAfter(begun + 1)) {
    return absl::InvalidArgumentError(absl::StrCat("training state: 'chosen' has ", count,
                                                   " features in step ", begun, " of ",
                                                   schedule_.total_steps()));
  }
  RETURN_IF_ERROR(LoadOwn(state));
  step_ = begun;
  chosen_ = std::move(chosen);
  is_chosen_ = std::move(is_chosen);
  RefreshScales();
  return absl::OkStatus();
}

TrainingSelector::TrainingSelector(CandidateFeatures candidates, const SelectionSchedule& schedule,
                                   std::string name, double learning_rate_multiplier,
                                   int64_t per_feature)
    : FeatureSelector(std::move(candidates), schedule),
      name_(std::move(name)),
      learning_rate_multiplier_(learning_rate_multiplier),
      trained_(DType::kFloat32, Shape({per_feature * this->candidates().size()})),
      gradient_(DType::kFloat32, trained_.shape()) {}

std::vector<TrainableState> TrainingSelector::trainable_state() {
  return {{name_, trained_.element_count(), trained_.data<float>(), gradient_.data<float>(),
           learning_rate_multiplier_, /*weight_decay=*/0.0}};
}

MethodState TrainingSelector::Save() const {
  MethodState state = FeatureSelector::Save();
  state.emplace(name_, trained_.Clone());
  return state;
}

absl::Status TrainingSelector::LoadOwn(const MethodState& state) {
  ASSIGN_OR_RETURN(const Tensor* trained,
                   FindState(state, name_, DType::kFloat32, trained_.element_count()));
  std::copy_n(trained->data<float>(), trained->element_count(), trained_.data<float>());
  return absl::OkStatus();
}

}  // namespace topiary
