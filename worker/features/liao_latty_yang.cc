#include "worker/features/liao_latty_yang.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/features/mask_network.h"
#include "worker/features/sequential_attention.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

constexpr char kMask[] = "mask";
constexpr char kSum[] = "logits_sum";

class LiaoLattyYang : public FeatureSelector {
 public:
  LiaoLattyYang(const LiaoLattyYangOptions& options, CandidateFeatures candidates,
                const SelectionSchedule& schedule)
      : FeatureSelector(std::move(candidates), schedule),
        options_(options),
        network_(this->candidates().input_width, this->candidates().size(), options.seed),
        mask_(this->candidates().rows.size(), 1.0),
        sum_(this->candidates().rows.size(), 0.0) {
    RefreshScales();
  }

  absl::string_view name() const override { return "liao_latty_yang"; }
  bool wants_inner_products() const override { return true; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    examples_ = tensors.Inputs()[0].span<float>();
    const std::vector<double>& outputs = network_.Forward(examples_);
    const std::vector<float> logits(outputs.begin(), outputs.end());
    // No feature is chosen yet: a softmax over all.
    mask_ = SequentialAttentionMask(logits, is_chosen());
    StepActions actions = FeatureSelector::BeginStep(step, tensors);
    actions.hold_weights = step >= HoldsFrom();
    if (actions.hold_weights) {
      for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += logits[i];
    }
    return actions;
  }

  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override {
    CHECK_EQ(inner_products.size(), 1u);
    const std::vector<double> h = candidates().SumOverRows(inner_products[0]);
    std::vector<float> gradient(h.size());
    SequentialAttentionGradient(mask_, h, is_chosen(), absl::MakeSpan(gradient));
    network_.Backward(std::vector<double>(gradient.begin(), gradient.end()), examples_);
    // Steps that hold the weights have no update after which to choose.
    if (schedule().Ends(step())) ChooseByMean();
  }

  std::vector<TrainableState> trainable_state() override {
    return network_.trainable_state(options_.mask_learning_rate_multiplier);
  }

  MethodState Save() const override {
    MethodState state = FeatureSelector::Save();
    network_.Save(&state);
    const auto count = static_cast<int64_t>(mask_.size());
    state.emplace(
        kMask, Tensor::FromVector(Shape({count}), std::vector<float>(mask_.begin(), mask_.end())));
    state.emplace(kSum, Tensor::FromVector(Shape({count}), sum_));
    return state;
  }

 protected:
  absl::Status LoadOwn(const MethodState& state) override {
    const auto count = static_cast<int64_t>(mask_.size());
    ASSIGN_OR_RETURN(const Tensor* mask, FindState(state, kMask, DType::kFloat32, count));
    ASSIGN_OR_RETURN(const Tensor* sum, FindState(state, kSum, DType::kFloat32, count));
    RETURN_IF_ERROR(network_.Load(state));
    mask_.assign(mask->data<float>(), mask->data<float>() + count);
    sum_.assign(sum->data<float>(), sum->data<float>() + count);
    return absl::OkStatus();
  }

  void FillMask(absl::Span<float> mask) const override {
    std::copy(mask_.begin(), mask_.end(), mask.begin());
  }
  std::vector<double> Scores(LayerTensors&) override { return {}; }

 private:
  int64_t HoldsFrom() const {
    return schedule().total_steps() - std::max<int64_t>(1, schedule().total_steps() / 20);
  }

  void ChooseByMean() {
    const auto steps = static_cast<double>(schedule().total_steps() - HoldsFrom());
    std::vector<double> means(sum_.begin(), sum_.end());
    for (double& mean : means) mean /= steps;
    Choose(means);
  }

  const LiaoLattyYangOptions options_;
  MaskNetwork network_;
  absl::Span<const float> examples_;  // Of the step begun last.
  std::vector<double> mask_;
  std::vector<float> sum_;  // Of the network's outputs over the steps that hold the weights.
};

}  // namespace

int64_t LiaoLattyYangBytes(const FeatureLayer& features, int64_t) {
  // Value, gradient and two moments, three of these again for a checkpoint.
  constexpr int64_t kBytesPerWeight = 7 * 4;
  const auto candidates = static_cast<int64_t>(features.features.size());
  return kBytesPerWeight * (MaskNetwork::kFirst * (features.input_width + MaskNetwork::kSecond) +
                            MaskNetwork::kSecond * candidates);
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewLiaoLattyYang(
    const LiaoLattyYangOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  if (!(options.mask_learning_rate_multiplier > 0 &&
        options.mask_learning_rate_multiplier <= 1e4)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "liao_latty_yang.mask_learning_rate_multiplier is ", options.mask_learning_rate_multiplier,
        ": it must be above 0 and at most 10,000"));
  }
  if (candidates.input_width == 0) {
    return absl::UnimplementedError(
        "spec.feature_selection.liao_latty_yang needs a model of one input of float32: use another "
        "selector");
  }
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, count,
                                             /*warmup_fraction=*/0, total_steps));
  return std::make_unique<LiaoLattyYang>(options, std::move(candidates), schedule);
}

}  // namespace topiary
