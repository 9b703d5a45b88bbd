#include "worker/features/sequential_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SequentialAttentionMask, IsASoftmaxOverTheFeaturesNotChosen) {
  const std::vector<double> mask =
      SequentialAttentionMask({1.0F, 50.0F, 1.0F + std::log(3.0F)}, {0, 1, 0});
  EXPECT_NEAR(mask[0], 0.25, 1e-6);
  EXPECT_EQ(mask[1], 1);
  EXPECT_NEAR(mask[2], 0.75, 1e-6);
}

// The largest logit of all would leave nothing to the others.
TEST(SequentialAttentionMask, AHighLogitOfAChosenFeatureTakesNothingFromTheOthers) {
  const std::vector<double> mask = SequentialAttentionMask({5000.0F, 0.0F, 0.0F}, {1, 0, 0});
  EXPECT_EQ(mask[1], 0.5);
  EXPECT_EQ(mask[2], 0.5);
}

TEST(SequentialAttentionMask, NoFiniteLogitOverflows) {
  const std::vector<double> mask = SequentialAttentionMask({3e38F, -3e38F}, {0, 0});
  EXPECT_THAT(mask, ElementsAre(1, 0));
}

// The loss sum_i c_i a_i^2 has h_i = 2 c_i a_i.
TEST(SequentialAttentionGradient, IsThatOfFiniteDifferences) {
  const std::vector<uint8_t> chosen = {0, 1, 0, 0, 1, 0};
  const std::vector<float> c = RandomVector(6, 1);
  const std::vector<float> logits = RandomVector(6, 2);
  const auto loss = [&](const std::vector<float>& w) {
    const std::vector<double> a = SequentialAttentionMask(w, chosen);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += c[i] * a[i] * a[i];
    return sum;
  };
  const std::vector<double> mask = SequentialAttentionMask(logits, chosen);
  std::vector<double> h(6);
  for (size_t i = 0; i < h.size(); ++i) h[i] = 2 * c[i] * mask[i];
  std::vector<float> gradient(6);
  SequentialAttentionGradient(mask, h, chosen, absl::MakeSpan(gradient));
  for (size_t i = 0; i < logits.size(); ++i) {
    constexpr float kStep = 1e-2F;
    std::vector<float> up = logits, down = logits;
    up[i] += kStep;
    down[i] -= kStep;
    EXPECT_NEAR(gradient[i], (loss(up) - loss(down)) / (up[i] - down[i]), 1e-4) << i;
  }
}

// `count` of `features`, each of one row.
CandidateFeatures Candidates(int64_t features) {
  const MethodLayer layer = LinearLayer("w", features, 2, {1, 2});
  CandidateFeatures candidates{layer.weight, layer.partition, {}};
  for (int64_t i = 0; i < features; ++i) candidates.rows.push_back({i});
  return candidates;
}

std::unique_ptr<FeatureSelector> New(const SequentialAttentionOptions& options, int64_t features,
                                     int64_t count, int64_t steps) {
  return NewSequentialAttention(options, Candidates(features), count, steps).value();
}

// One step in which feature i's mask would raise the loss by slopes[i], followed by gradient
// descent on the logits at rate 1.
StepActions Step(FeatureSelector& selector, int64_t step, const std::vector<float>& slopes) {
  FakeWeights weights({std::vector<float>(2 * slopes.size())});
  const StepActions actions = selector.BeginStep(step, weights);
  selector.AfterBackward(weights);
  const std::vector<absl::Span<const float>> products = {slopes};
  selector.EndStep(products);
  const TrainableState state = selector.trainable_state()[0];
  for (int64_t i = 0; i < state.size; ++i) state.value[i] -= state.gradient[i];
  selector.AfterUpdate(1, weights);
  return actions;
}

std::vector<int64_t> Features(const FeatureSelector& selector) {
  std::vector<int64_t> features;
  for (const ChosenFeature& choice : selector.chosen()) features.push_back(choice.feature);
  return features;
}

TEST(SequentialAttention, ChoosesAtTheEndOfEachPhaseAndStartsTheLogitsAnew) {
  const auto selector = New({}, 4, 2, 6);
  const std::vector<float> slopes = {0, -1, 3, -2};
  for (int64_t step = 0; step < 3; ++step) {
    EXPECT_THAT(Features(*selector), ElementsAre()) << step;
    EXPECT_EQ(Step(*selector, step, slopes).reset_trainable_state, step == 0);
  }
  EXPECT_THAT(Features(*selector), ElementsAre(3));
  EXPECT_EQ(selector->chosen()[0].step, 3);
  EXPECT_GT(selector->chosen()[0].score, 0) << "its logit";
  for (int i = 0; i < 4; ++i) EXPECT_EQ(selector->trainable_state()[0].value[i], 0);
  EXPECT_TRUE(Step(*selector, 3, slopes).reset_trainable_state);
  EXPECT_EQ(selector->scales(0)[3], 1);
  EXPECT_EQ(selector->trainable_state()[0].gradient[3], 0);
  EXPECT_FLOAT_EQ(selector->scales(0)[0], 1.0F / 3);
  Step(*selector, 4, slopes);
  Step(*selector, 5, slopes);
  EXPECT_THAT(Features(*selector), ElementsAre(3, 1));
  selector->RefreshScales();
  EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(0, 1, 0, 1));
}

TEST(SequentialAttention, ChoosesSeveralPerStepAndWhatIsMissingInTheLast) {
  SequentialAttentionOptions options;
  options.features_per_step = 2;
  const auto selector = New(options, 8, 5, 6);
  const std::vector<float> slopes = {-1, -2, -3, -4, -5, -6, -7, -8};
  std::vector<size_t> counts;
  for (int64_t step = 0; step < 6; ++step) {
    Step(*selector, step, slopes);
    counts.push_back(selector->chosen().size());
  }
  EXPECT_THAT(counts, ElementsAre(0, 2, 2, 4, 4, 5));
  EXPECT_THAT(Features(*selector), ElementsAre(7, 6, 5, 4, 3));
}

TEST(SequentialAttention, ReadsAllFeaturesWholeInTheWarmup) {
  SequentialAttentionOptions options;
  options.warmup_fraction = 0.5;
  const auto selector = New(options, 3, 1, 4);
  for (int64_t step = 0; step < 2; ++step) {
    Step(*selector, step, {-1, -2, -3});
    EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(1, 1, 1));
    EXPECT_EQ(selector->trainable_state()[0].value[2], 0);
  }
  EXPECT_TRUE(Step(*selector, 2, {-1, -2, -3}).reset_trainable_state);
  Step(*selector, 3, {-1, -2, -3});
  EXPECT_THAT(Features(*selector), ElementsAre(2));
}

TEST(SequentialAttention, TiesGoToTheLowerIndex) {
  const auto selector = New({}, 3, 1, 1);
  Step(*selector, 0, {0, 0, 0});
  EXPECT_THAT(Features(*selector), ElementsAre(0));
}

// Logits that are no numbers come last, whatever their place.
TEST(SequentialAttention, RanksManyAtOnce) {
  constexpr int64_t kFeatures = 200000, kCount = 100000;
  SequentialAttentionOptions options;
  options.features_per_step = kCount;
  const auto selector = New(options, kFeatures, kCount, 1);
  FakeWeights weights({std::vector<float>(2 * kFeatures)});
  selector->BeginStep(0, weights);
  float* const logits = selector->trainable_state()[0].value;
  for (int64_t i = 0; i < kFeatures; ++i) logits[i] = static_cast<float>(i % 4);
  for (int64_t i = 3; i < kFeatures; i += 4) logits[i] = NAN;
  selector->AfterUpdate(1, weights);
  ASSERT_EQ(selector->chosen().size(), kCount);
  for (int64_t i = 0; i < kFeatures / 4; ++i) {
    ASSERT_EQ(selector->chosen()[i].feature, 4 * i + 2);
    ASSERT_EQ(selector->chosen()[kFeatures / 4 + i].feature, 4 * i + 1);
  }
}

TEST(SequentialAttention, AFeatureIsAllOfItsRows) {
  CandidateFeatures candidates = Candidates(4);
  candidates.rows = {{0, 3}, {1}, {2}};
  const auto selector = NewSequentialAttention({}, candidates, 1, 1).value();
  // Together they are worth more than either of the others.
  Step(*selector, 0, {-2, -3, 0, -2});
  selector->RefreshScales();
  EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(1, 0, 0, 1));
}

TEST(SequentialAttention, GoesOnFromItsState) {
  const std::vector<float> slopes = {-1, -2, -4, -3, 1};
  SequentialAttentionOptions options;
  options.warmup_fraction = 0.3;
  const auto straight = New(options, 5, 3, 9);
  const auto resumed = New(options, 5, 3, 9);
  for (int64_t step = 0; step < 5; ++step) Step(*straight, step, slopes);
  ASSERT_OK(resumed->Load(straight->Save()));
  straight->RefreshScales();
  EXPECT_EQ(ScalesOf(*resumed, 0), ScalesOf(*straight, 0));
  for (int64_t step = 5; step < 9; ++step) {
    Step(*straight, step, slopes);
    Step(*resumed, step, slopes);
    EXPECT_EQ(ScalesOf(*straight, 0), ScalesOf(*resumed, 0));
  }
  EXPECT_EQ(Features(*resumed), Features(*straight));
  EXPECT_EQ(resumed->chosen()[1].score, straight->chosen()[1].score);
}

TEST(SequentialAttention, RefusesAStateThatIsNotOfItsKind) {
  const auto selector = New({}, 5, 3, 9);
  MethodState state = selector->Save();
  const int64_t six = 6;
  state.find("chosen")->second = Tensor::FromVector<int64_t>(Shape({6}), {six, 1, -1, -1, -1, -1});
  EXPECT_THAT(selector->Load(state), StatusIs(absl::StatusCode::kInvalidArgument));
  // One is chosen at the end of each phase of three steps.
  for (const int64_t begun : {int64_t{1}, int64_t{6}}) {
    state = selector->Save();
    state.find("selection_step")->second = Tensor::FromVector<int64_t>(Shape({1}), {begun});
    state.find("chosen")->second = Tensor::FromVector<int64_t>(Shape({6}), {4, 1, -1, -1, -1, -1});
    EXPECT_THAT(selector->Load(state),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 1 features")));
  }
  state = selector->Save();
  state.erase("logits/features");
  EXPECT_THAT(selector->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("logits/features")));
}

TEST(SequentialAttention, RefusesOptionsOutOfRange) {
  const auto refuses = [](const SequentialAttentionOptions& options, int64_t count, int64_t steps,
                          const std::string& message) {
    EXPECT_THAT(NewSequentialAttention(options, Candidates(5), count, steps).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refuses({}, 5, 10, "count is 5");
  refuses({}, 0, 10, "count is 0");
  refuses({}, 4, 3, "3 steps");
  refuses({5, 0, 10}, 4, 10, "features_per_step is 5");
  refuses({1, 1, 10}, 4, 10, "warmup_fraction is 1");
  refuses({1, 0, 0}, 4, 10, "logits_learning_rate_multiplier is 0");
}

TEST(SelectionSchedule, CutsTheRunInEqualPhases) {
  const SelectionSchedule schedule = SelectionSchedule::Create(100, 7, 2, 0.1, 1003).value();
  EXPECT_EQ(schedule.phases(), 4);
  EXPECT_EQ(schedule.warmup_steps(), 100);
  EXPECT_EQ(schedule.PhaseOf(99), -1);
  EXPECT_EQ(schedule.BeginOf(0), 100);
  EXPECT_EQ(schedule.BeginOf(4), 1003);
  int64_t choices = 0;
  for (int64_t step = 100; step < 1003; ++step) {
    const int64_t phase = schedule.PhaseOf(step);
    EXPECT_LE(schedule.BeginOf(phase), step);
    EXPECT_LT(step, schedule.BeginOf(phase + 1));
    if (schedule.Ends(step)) choices += schedule.ToChoose(phase);
  }
  EXPECT_EQ(choices, 7);
  for (int64_t phase = 0; phase < 4; ++phase) {
    EXPECT_NEAR(schedule.BeginOf(phase + 1) - schedule.BeginOf(phase), 903 / 4.0, 1);
  }
}

}  // namespace
}  // namespace topiary
