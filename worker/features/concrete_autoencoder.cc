#include "worker/features/concrete_autoencoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr uint64_t kNoise = kStreamFeatures | (uint64_t{3} << 32);
constexpr int64_t kMaxPairs = int64_t{1} << 26;
constexpr int64_t kMaxProducts = int64_t{1} << 34;

// softmax(logits / temperature), by its largest logit.
void Softmax(absl::Span<const double> logits, double temperature, absl::Span<double> out) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double logit : logits) largest = std::max(largest, logit);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    out[i] = std::exp((logits[i] - largest) / temperature);
    sum += out[i];
  }
  for (double& value : out) value /= sum;
}

class ConcreteAutoencoder : public TrainingSelector {
 public:
  ConcreteAutoencoder(const ConcreteAutoencoderOptions& options, CandidateFeatures candidates,
                      const SelectionSchedule& schedule)
      : TrainingSelector(std::move(candidates), schedule, "logits/selectors",
                         options.logits_learning_rate_multiplier, schedule.count()),
        options_(options),
        selectors_(schedule.count()),
        features_(this->candidates().size()),
        layer_(this->candidates().partition->layer()) {
    Select(/*noise_of=*/-1);
    RefreshScales();
  }

  absl::string_view name() const override { return "concrete_autoencoder"; }

  StepActions BeginStep(int64_t step, LayerTensors& tensors) override {
    StepActions actions = FeatureSelector::BeginStep(step, tensors);
    Select(/*noise_of=*/step);
    return actions;
  }

  // V = S' W', row j of which is that of feature j.
  void WriteEffectiveWeights(LayerTensors& tensors) override {
    const absl::Span<const float> raw = tensors.RawWeights(0);
    const absl::Span<float> effective = tensors.MutableEffectiveWeights(0);
    std::vector<double> column(features_);
    for (int64_t col = 0; col < layer_.cols; ++col) {
      std::fill(column.begin(), column.end(), 0.0);
      for (int64_t s = 0; s < selectors_; ++s) {
        const double weight = raw[layer_.Offset(0, s, col)];
        const double* const row = selection_.data() + s * features_;
        for (int64_t j = 0; j < features_; ++j) column[j] += row[j] * weight;
      }
      for (int64_t j = 0; j < features_; ++j) {
        effective[layer_.Offset(0, candidates().rows[j][0], col)] = static_cast<float>(column[j]);
      }
    }
  }

  void AfterBackward(LayerTensors& tensors) override {
    const absl::Span<const float> raw = tensors.RawWeights(0);
    const absl::Span<float> gradient = tensors.MutableGradients(0);
    std::vector<double> of_selection(selection_.size(), 0.0);
    std::vector<double> column(features_);
    for (int64_t col = 0; col < layer_.cols; ++col) {
      for (int64_t j = 0; j < features_; ++j) {
        column[j] = gradient[layer_.Offset(0, candidates().rows[j][0], col)];
      }
      for (int64_t row = 0; row < layer_.rows; ++row) gradient[layer_.Offset(0, row, col)] = 0;
      for (int64_t s = 0; s < selectors_; ++s) {
        const double weight = raw[layer_.Offset(0, s, col)];
        const double* const selection = selection_.data() + s * features_;
        double* const out = of_selection.data() + s * features_;
        double of_weight = 0;
        for (int64_t j = 0; j < features_; ++j) {
          of_weight += selection[j] * column[j];
          out[j] += column[j] * weight;
        }
        gradient[layer_.Offset(0, s, col)] = static_cast<float>(of_weight);
      }
    }
    BackThroughSoftmax(of_selection);
  }

  void AfterUpdate(double, LayerTensors&) override {
    // What is evaluated between steps has no noise.
    if (schedule().Ends(step())) Assign();
  }

  void RefreshScales() override {
    Select(/*noise_of=*/-1);
    FeatureSelector::RefreshScales();
  }

 protected:
  absl::Status LoadOwn(const MethodState& state) override {
    RETURN_IF_ERROR(TrainingSelector::LoadOwn(state));
    assigned_.clear();
    return absl::OkStatus();
  }
  // The selection is in the effective weights.
  void FillMask(absl::Span<float> mask) const override {
    std::fill(mask.begin(), mask.end(), 1.0F);
  }
  std::vector<double> Scores(LayerTensors&) override { return {}; }

 private:
  double Temperature() const {
    const auto last = static_cast<double>(std::max<int64_t>(1, schedule().total_steps() - 1));
    return options_.start_temperature *
           std::pow(options_.end_temperature / options_.start_temperature,
                    static_cast<double>(step()) / last);
  }

  std::vector<double> Probabilities() const {
    std::vector<double> logits(trained().begin(), trained().end());
    std::vector<double> probabilities(logits.size());
    for (int64_t s = 0; s < selectors_; ++s) {
      Softmax(absl::MakeSpan(logits).subspan(s * features_, features_), 1,
              absl::MakeSpan(probabilities).subspan(s * features_, features_));
    }
    return probabilities;
  }

  // Makes S: with the noise of a step, without where that is -1, and of zeros and ones once the
  // features are chosen.
  void Select(int64_t noise_of) {
    selection_.assign(trained().size(), 0.0);
    if (Finished()) {
      if (assigned_.empty()) assigned_ = AssignFeatures(Probabilities(), selectors_);
      for (int64_t s = 0; s < selectors_; ++s) selection_[s * features_ + assigned_[s]] = 1;
      return;
    }
    std::vector<double> logits(trained().begin(), trained().end());
    if (noise_of >= 0) {
      Random random(options_.seed, kNoise, static_cast<uint64_t>(noise_of));
      // 1 - u is above 0, and so is the logarithm's negative but for u = 0: 2^-53 in its place.
      for (double& logit : logits) {
        const double u = std::max(random.Uniform(), 0x1p-53);
        logit -= std::log(-std::log1p(-u));
      }
    }
    for (int64_t s = 0; s < selectors_; ++s) {
      Softmax(absl::MakeSpan(logits).subspan(s * features_, features_), Temperature(),
              absl::MakeSpan(selection_).subspan(s * features_, features_));
    }
  }

  void BackThroughSoftmax(const std::vector<double>& of_selection) {
    const double inverse = 1 / Temperature();
    for (int64_t s = 0; s < selectors_; ++s) {
      const double* const p = selection_.data() + s * features_;
      const double* const d = of_selection.data() + s * features_;
      double mean = 0;
      for (int64_t j = 0; j < features_; ++j) mean += p[j] * d[j];
      float* const gradient = mutable_gradient().data() + s * features_;
      for (int64_t j = 0; j < features_; ++j) {
        gradient[j] = static_cast<float>(p[j] * (d[j] - mean) * inverse);
      }
    }
  }

  void Assign() {
    const std::vector<double> probabilities = Probabilities();
    assigned_ = AssignFeatures(probabilities, selectors_);
    std::vector<int64_t> order(selectors_);
    std::iota(order.begin(), order.end(), 0);
    const auto score = [&](int64_t s) { return probabilities[s * features_ + assigned_[s]]; };
    std::stable_sort(order.begin(), order.end(),
                     [&score](int64_t a, int64_t b) { return score(a) > score(b); });
    for (const int64_t s : order) ChooseFeature(assigned_[s], score(s));
    RefreshScales();
  }

  const ConcreteAutoencoderOptions options_;
  const int64_t selectors_;
  const int64_t features_;
  const PrunableLayer& layer_;
  std::vector<double> selection_;  // S.
  std::vector<int64_t> assigned_;  // To each selector, once the features are chosen.
};

absl::Status CheckOptions(const ConcreteAutoencoderOptions& options) {
  const auto refuse = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat("concrete_autoencoder.", field, " is ", value, ": it must be ", range));
  };
  if (!(options.start_temperature >= 1e-4 && options.start_temperature <= 1000)) {
    return refuse("start_temperature", options.start_temperature, "in [0.0001, 1000]");
  }
  if (!(options.end_temperature >= 1e-4 && options.end_temperature <= options.start_temperature)) {
    return refuse("end_temperature", options.end_temperature,
                  "at least 0.0001 and at most start_temperature");
  }
  if (!(options.logits_learning_rate_multiplier > 0 &&
        options.logits_learning_rate_multiplier <= 1e4)) {
    return refuse("logits_learning_rate_multiplier", options.logits_learning_rate_multiplier,
                  "above 0 and at most 10,000");
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<int64_t> AssignFeatures(absl::Span<const double> probabilities, int64_t selectors) {
  const int64_t features = static_cast<int64_t>(probabilities.size()) / selectors;
  const auto probability = [&](int64_t s, int64_t j) {
    const double value = probabilities[s * features + j];
    return std::isnan(value) ? -1.0 : value;
  };
  // The features of each selector, likeliest first: others take fewer than there are selectors.
  std::vector<std::vector<int32_t>> liked(selectors);
  std::vector<int32_t> order(features);
  // The likeliest selector, then the lowest, by the first feature that it likes: one that was taken
  // meanwhile tells what it has at most.
  std::priority_queue<std::pair<double, int64_t>> next;
  for (int64_t s = 0; s < selectors; ++s) {
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + selectors, order.end(),
                      [&](int32_t a, int32_t b) {
                        const double of_a = probability(s, a), of_b = probability(s, b);
                        return of_a != of_b ? of_a > of_b : a < b;
                      });
    liked[s].assign(order.begin(), order.begin() + selectors);
    next.emplace(probability(s, liked[s][0]), -s);
  }
  std::vector<int64_t> assigned(selectors, -1);
  std::vector<int64_t> tried(selectors, 0);
  std::vector<uint8_t> taken(features, 0);
  while (!next.empty()) {
    const int64_t s = -next.top().second;
    next.pop();
    const int32_t feature = liked[s][tried[s]];
    if (taken[feature] == 0) {
      taken[feature] = 1;
      assigned[s] = feature;
      continue;
    }
    while (taken[liked[s][tried[s]]] != 0) ++tried[s];
    next.emplace(probability(s, liked[s][tried[s]]), -s);
  }
  return assigned;
}

int64_t ConcreteAutoencoderBytes(const FeatureLayer& features, int64_t count) {
  // Of float: logit, gradient, two moments, and three of these again for a checkpoint; of double: S
  // and its gradient, or logits and probabilities.
  constexpr int64_t kBytesPerPair = 7 * 4 + 3 * 8;
  const auto candidates = static_cast<int64_t>(features.features.size());
  return kBytesPerPair * std::min(count, candidates) * candidates;
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewConcreteAutoencoder(
    const ConcreteAutoencoderOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps) {
  RETURN_IF_ERROR(CheckOptions(options));
  for (const std::vector<int64_t>& rows : candidates.rows) {
    if (rows.size() == 1) continue;
    return absl::UnimplementedError(
        "spec.feature_selection.concrete_autoencoder needs features of one number each, not "
        "groups or embeddings: use another selector");
  }
  ASSIGN_OR_RETURN(const SelectionSchedule schedule,
                   SelectionSchedule::Create(candidates.size(), count, count,
                                             /*warmup_fraction=*/0, total_steps));
  const int64_t cols = candidates.partition->layer().cols;
  // Of rows that a trace may have (2^22): it cannot overflow.
  const int64_t pairs = count * candidates.size();
  if (pairs > kMaxPairs || pairs > kMaxProducts / cols) {
    return absl::InvalidArgumentError(absl::StrCat(
        "spec.feature_selection.count is ", count,
        ": concrete_autoencoder has a logit for each of ", "them and each of ", candidates.size(),
        " features, and multiplies these with ", cols, " outputs of the first layer; at most ",
        kMaxPairs, " logits and ", kMaxProducts,
        " products are supported: choose fewer, or use another selector"));
  }
  return std::make_unique<ConcreteAutoencoder>(options, std::move(candidates), schedule);
}

}  // namespace topiary
