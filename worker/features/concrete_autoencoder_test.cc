#include "worker/features/concrete_autoencoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kFeatures = 5;
constexpr int64_t kOutputs = 2;

CandidateFeatures Candidates() {
  const MethodLayer layer = LinearLayer("w", kFeatures, kOutputs, {1, kOutputs});
  CandidateFeatures candidates{layer.weight, layer.partition, {}};
  for (int64_t i = 0; i < kFeatures; ++i) candidates.rows.push_back({i});
  return candidates;
}

std::unique_ptr<FeatureSelector> New(const ConcreteAutoencoderOptions& options) {
  return NewConcreteAutoencoder(options, Candidates(), 2, 10).value();
}

absl::Span<float> Logits(FeatureSelector& selector) {
  const TrainableState state = selector.trainable_state()[0];
  return {state.value, static_cast<size_t>(state.size)};
}

TEST(AssignFeatures, NoTwoSelectorsHaveTheSame) {
  // Both want feature 0; the second wants it more.
  EXPECT_THAT(AssignFeatures({0.6, 0.1, 0.3, 0.7, 0.2, 0.1}, 2), ElementsAre(2, 0));
  EXPECT_THAT(AssignFeatures({0.5, 0.5, 0.5, 0.5}, 2), ElementsAre(0, 1));
}

// As the definition says, turn by turn, with many ties.
TEST(AssignFeatures, TheLikeliestPairOfAllThatAreLeftGoesFirst) {
  constexpr int64_t kSelectors = 12, kOf = 20;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed, kStreamTest, 0);
    std::vector<double> p(kSelectors * kOf);
    for (double& value : p) value = static_cast<double>(random.Below(seed < 10 ? 3 : 1000));
    std::vector<int64_t> wanted(kSelectors, -1);
    std::vector<bool> taken(kOf);
    for (int64_t turn = 0; turn < kSelectors; ++turn) {
      int64_t best_s = -1, best_j = -1;
      for (int64_t s = 0; s < kSelectors; ++s) {
        for (int64_t j = 0; j < kOf; ++j) {
          if (wanted[s] >= 0 || taken[j]) continue;
          if (best_s >= 0 && p[s * kOf + j] <= p[best_s * kOf + best_j]) continue;
          best_s = s;
          best_j = j;
        }
      }
      wanted[best_s] = best_j;
      taken[best_j] = true;
    }
    EXPECT_EQ(AssignFeatures(p, kSelectors), wanted) << seed;
  }
}

TEST(AssignFeatures, ManySelectorsMayWantTheSame) {
  constexpr int64_t kSelectors = 2000, kOf = 4000;
  const std::vector<int64_t> assigned =
      AssignFeatures(std::vector<double>(kSelectors * kOf, 0.5), kSelectors);
  for (int64_t s = 0; s < kSelectors; ++s) ASSERT_EQ(assigned[s], s);
}

TEST(ConcreteAutoencoder, RefusesMoreThanAStepCanDoInGoodTime) {
  const auto of = [](int64_t features, int64_t outputs, int64_t count) {
    const MethodLayer layer = LinearLayer("w", features, outputs, {1, outputs});
    CandidateFeatures candidates{layer.weight, layer.partition, {}};
    for (int64_t i = 0; i < features; ++i) candidates.rows.push_back({i});
    return NewConcreteAutoencoder({}, candidates, count, 10).status();
  };
  EXPECT_THAT(of(40000, 1, 20000), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("spec.feature_selection.count is 20000")));
  EXPECT_THAT(of(8000, 2000, 2000),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2000 outputs")));
}

TEST(ConcreteAutoencoder, WeighsTheFeaturesOfEachSelector) {
  const auto selector = New({});
  FakeWeights weights({RandomVector(kFeatures * kOutputs, 1)});
  selector->RefreshScales();
  selector->WriteEffectiveWeights(weights);
  // Logits of 0: each feature has a fifth of each selector's weights.
  for (int64_t col = 0; col < kOutputs; ++col) {
    const float* const raw = weights.RawWeights(0).data() + col * kFeatures;
    for (int64_t j = 0; j < kFeatures; ++j) {
      EXPECT_NEAR(weights.effective[0][col * kFeatures + j], (raw[0] + raw[1]) / kFeatures, 1e-6);
    }
  }
}

// Of sum c * V^2 / 2 over the effective weights V, with the noise of a step, by raw weights and
// by logits.
TEST(ConcreteAutoencoder, GradientsAreThoseOfFiniteDifferences) {
  const auto selector = New({2, 0.5, 1, 3});
  const std::vector<float> c = RandomVector(kFeatures * kOutputs, 2);
  FakeWeights weights({RandomVector(kFeatures * kOutputs, 1)});
  const std::vector<float> start = RandomVector(2 * kFeatures, 4);
  std::copy(start.begin(), start.end(), Logits(*selector).begin());
  const auto loss = [&] {
    selector->BeginStep(4, weights);
    selector->WriteEffectiveWeights(weights);
    double sum = 0;
    for (size_t i = 0; i < c.size(); ++i) {
      sum += 0.5 * c[i] * weights.effective[0][i] * weights.effective[0][i];
    }
    return sum;
  };
  loss();
  weights.gradients = {std::vector<float>(c.size())};
  for (size_t i = 0; i < c.size(); ++i) weights.gradients[0][i] = c[i] * weights.effective[0][i];
  selector->AfterBackward(weights);
  const TrainableState state = selector->trainable_state()[0];
  const std::vector<float> of_logits(state.gradient, state.gradient + state.size);
  const std::vector<float> of_raw = weights.gradients[0];
  const auto slope = [&loss](float& value) {
    value += 1e-2F;
    const double up = loss();
    value -= 2e-2F;
    const double down = loss();
    value += 1e-2F;
    return (up - down) / 2e-2;
  };
  for (size_t i = 0; i < of_logits.size(); ++i) {
    EXPECT_NEAR(of_logits[i], slope(Logits(*selector)[i]), 2e-3) << i;
  }
  for (size_t i = 0; i < of_raw.size(); ++i) {
    EXPECT_NEAR(of_raw[i], slope(weights.MutableRawWeights(0)[i]), 2e-3) << i;
  }
}

TEST(ConcreteAutoencoder, GrowsSureAsItCools) {
  const auto selector = New({10, 0.01, 1, 3});
  FakeWeights weights({std::vector<float>(kFeatures * kOutputs, 1.0F)});
  const auto largest = [&](int64_t step) {
    selector->BeginStep(step, weights);
    selector->WriteEffectiveWeights(weights);
    return *std::max_element(weights.effective[0].begin(), weights.effective[0].end());
  };
  EXPECT_LT(largest(0), 0.8F) << "of two selectors";
  EXPECT_GT(largest(9), 0.99F);
}

TEST(ConcreteAutoencoder, AtTheEndEachSelectorReadsItsFeature) {
  const auto selector = New({});
  FakeWeights weights({std::vector<float>{1, 2, 0, 0, 0, 3, 4, 0, 0, 0}});
  Logits(*selector)[3] = 9;
  Logits(*selector)[kFeatures + 3] = 5;
  Logits(*selector)[kFeatures + 1] = 4;
  selector->BeginStep(9, weights);
  selector->AfterUpdate(1, weights);
  ASSERT_EQ(selector->chosen().size(), 2);
  EXPECT_EQ(selector->chosen()[0].feature, 3);
  EXPECT_EQ(selector->chosen()[1].feature, 1);
  EXPECT_THAT(ScalesOf(*selector, 0), ElementsAre(0, 1, 0, 1, 0));
  selector->WriteEffectiveWeights(weights);
  EXPECT_THAT(weights.effective[0], ElementsAre(0, 2, 0, 1, 0, 0, 4, 0, 3, 0));
  const auto resumed = New({});
  ASSERT_OK(resumed->Load(selector->Save()));
  FakeWeights same({std::vector<float>{1, 2, 0, 0, 0, 3, 4, 0, 0, 0}});
  resumed->WriteEffectiveWeights(same);
  EXPECT_EQ(same.effective, weights.effective);
}

TEST(ConcreteAutoencoder, RefusesGroupsAndOptionsOutOfRange) {
  CandidateFeatures candidates = Candidates();
  candidates.rows = {{0, 1}, {2}, {3}, {4}};
  EXPECT_THAT(NewConcreteAutoencoder({}, candidates, 2, 10).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("concrete_autoencoder")));
  const auto refuses = [](const ConcreteAutoencoderOptions& options, const std::string& message) {
    EXPECT_THAT(NewConcreteAutoencoder(options, Candidates(), 2, 10).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refuses({0, 0.01, 10, 0}, "start_temperature");
  refuses({1, 2, 10, 0}, "end_temperature");
  refuses({1, 0.1, 0, 0}, "logits_learning_rate_multiplier");
}

}  // namespace
}  // namespace topiary
