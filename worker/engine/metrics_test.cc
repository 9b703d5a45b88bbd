#include "worker/engine/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

struct Batch {
  std::vector<float> outputs;
  OutputKind kind;
  int64_t columns;
  std::vector<int32_t> labels = {};
  std::vector<float> targets = {};

  Predictions predictions() const {
    Predictions p;
    p.outputs = outputs.data();
    p.kind = kind;
    p.columns = columns;
    p.rows = static_cast<int64_t>(outputs.size()) / columns;
    p.labels = labels.empty() ? nullptr : labels.data();
    p.targets = targets.empty() ? nullptr : targets.data();
    return p;
  }
};

double Value(const std::string& name, const Batch& batch) {
  const auto metric = NewMetric(name);
  EXPECT_OK(metric.status());
  (*metric)->Add(batch.predictions());
  return (*metric)->Value();
}

constexpr OutputKind kLogits = OutputKind::kLogits;
constexpr OutputKind kProbabilities = OutputKind::kProbabilities;

TEST(Accuracy, CountsRowsWhoseLargestOutputIsTheLabel) {
  EXPECT_DOUBLE_EQ(Value("accuracy", {{1, 3, 2, 9, 0, 0, -1, -3, -2}, kLogits, 3, {1, 2, 0}}),
                   2.0 / 3);
}

TEST(Accuracy, TheFirstOfEqualOutputsWins) {
  EXPECT_DOUBLE_EQ(Value("accuracy", {{5, 5}, kLogits, 2, {0}}), 1);
  EXPECT_DOUBLE_EQ(Value("accuracy", {{5, 5}, kLogits, 2, {1}}), 0);
}

TEST(Accuracy, OneColumnIsAThreshold) {
  EXPECT_DOUBLE_EQ(Value("accuracy", {{-0.1f, 0.2f, 3}, kLogits, 1, {0, 1, 0}}), 2.0 / 3);
  EXPECT_DOUBLE_EQ(Value("accuracy", {{0.2f, 0.5f, 0.9f}, kProbabilities, 1, {}, {0, 1, 1}}), 1);
}

TEST(Accuracy, AnOutputThatIsNotANumberIsWrong) {
  const float nan = std::nanf("");
  EXPECT_DOUBLE_EQ(Value("accuracy", {{nan, nan}, kLogits, 2, {0}}), 0);
  EXPECT_DOUBLE_EQ(Value("accuracy", {{nan, 1}, kLogits, 2, {1}}), 0);
}

TEST(Top5, TheSixthDoesNotCount) {
  const std::vector<float> outputs = {6, 5, 4, 3, 2, 1};
  EXPECT_DOUBLE_EQ(Value("top_5", {outputs, kLogits, 6, {4}}), 1);
  EXPECT_DOUBLE_EQ(Value("top_5", {outputs, kLogits, 6, {5}}), 0);
}

TEST(LogLoss, IsTheCrossEntropyOfEveryKindOfOutput) {
  const double p0 = 1 / (1 + std::exp(-1.0));  // softmax(1, 0).
  EXPECT_NEAR(Value("log_loss", {{1, 0}, kLogits, 2, {0}}), -std::log(p0), 1e-7);
  EXPECT_NEAR(Value("log_loss", {{0.25f, 0.75f}, kProbabilities, 2, {1}}), -std::log(0.75), 1e-7);
  EXPECT_NEAR(Value("log_loss", {{-0.5f, -2}, OutputKind::kLogProbabilities, 2, {1}}), 2, 1e-7);
}

TEST(LogLoss, OfOneColumnIsBinary) {
  const double q = 1 / (1 + std::exp(-2.0));
  EXPECT_NEAR(Value("log_loss", {{2, 2}, kLogits, 1, {1, 0}}), -(std::log(q) + std::log(1 - q)) / 2,
              1e-6);
  EXPECT_NEAR(Value("log_loss", {{0.9f}, kProbabilities, 1, {}, {1}}), -std::log(0.9), 1e-6);
}

TEST(LogLoss, ACertainMistakeIsFinite) {
  EXPECT_NEAR(Value("log_loss", {{0, 1}, kProbabilities, 2, {0}}), -std::log(1e-15), 1e-6);
  EXPECT_NEAR(Value("log_loss", {{500}, kLogits, 1, {0}}), 500, 1e-6);
}

TEST(Auc, OrdersPositivesAboveNegatives) {
  EXPECT_DOUBLE_EQ(Value("auc", {{0.1f, 0.4f, 0.35f, 0.8f}, kProbabilities, 1, {0, 0, 1, 1}}),
                   0.75);
  EXPECT_DOUBLE_EQ(Value("auc", {{1, 2, 3, 4}, kLogits, 1, {0, 0, 1, 1}}), 1);
  EXPECT_DOUBLE_EQ(Value("auc", {{4, 3, 2, 1}, kLogits, 1, {0, 0, 1, 1}}), 0);
}

TEST(Auc, TiesCountHalf) {
  EXPECT_DOUBLE_EQ(Value("auc", {{1, 1, 1, 1}, kLogits, 1, {0, 1, 0, 1}}), 0.5);
  EXPECT_DOUBLE_EQ(Value("auc", {{1, 1, 2}, kLogits, 1, {0, 1, 1}}), 0.75);
}

TEST(Auc, OfTwoLogitsIsThatOfTheirDifference) {
  // Class 1 by 3, by 1, by -1: the last column alone would order them wrongly.
  EXPECT_DOUBLE_EQ(Value("auc", {{-5, -2, 8, 9, 4, 3}, kLogits, 2, {1, 1, 0}}), 1);
}

TEST(Auc, NeedsBothClasses) {
  EXPECT_TRUE(std::isnan(Value("auc", {{1, 2}, kLogits, 1, {1, 1}})));
  EXPECT_TRUE(std::isnan(Value("auc", {{1, std::nanf("")}, kLogits, 1, {0, 1}})));
}

TEST(Auc, AgreesWithCountingPairs) {
  Random random(1, kStreamTest, 0);
  Batch batch{{}, kLogits, 1};
  for (int i = 0; i < 200; ++i) {
    batch.outputs.push_back(static_cast<float>(random.Below(20)));
    batch.labels.push_back(static_cast<int32_t>(random.Below(2)));
  }
  double wins = 0, pairs = 0;
  for (int i = 0; i < 200; ++i) {
    for (int j = 0; j < 200; ++j) {
      if (batch.labels[i] != 1 || batch.labels[j] != 0) continue;
      pairs += 1;
      wins += batch.outputs[i] > batch.outputs[j]    ? 1
              : batch.outputs[i] == batch.outputs[j] ? 0.5
                                                     : 0;
    }
  }
  EXPECT_NEAR(Value("auc", batch), wins / pairs, 1e-12);
}

TEST(SquaredErrorMetric, IsTheMeanOverElements) {
  EXPECT_DOUBLE_EQ(Value("mse", {{1, 2, 3, 4}, OutputKind::kValues, 2, {}, {1, 0, 0, 4}}),
                   (4 + 9) / 4.0);
}

TEST(RSquaredMetric, IsOneForPerfectAndZeroForTheMean) {
  EXPECT_DOUBLE_EQ(Value("r2", {{1, 2, 3}, OutputKind::kValues, 1, {}, {1, 2, 3}}), 1);
  EXPECT_NEAR(Value("r2", {{2, 2, 2}, OutputKind::kValues, 1, {}, {1, 2, 3}}), 0, 1e-12);
  EXPECT_TRUE(std::isnan(Value("r2", {{1, 2}, OutputKind::kValues, 1, {}, {5, 5}})));
}

TEST(RSquaredMetric, IsTheMeanOverColumns) {
  // First column perfect, second at its mean.
  EXPECT_NEAR(Value("r2", {{1, 5, 2, 5}, OutputKind::kValues, 2, {}, {1, 4, 2, 6}}), 0.5, 1e-12);
}

class EveryMetric : public testing::TestWithParam<std::string> {};

TEST_P(EveryMetric, DoesNotDependOnHowRowsAreBatchedAndStartsAnew) {
  Random random(3, kStreamTest, 0);
  Batch batch{{}, kProbabilities, 1};
  for (int i = 0; i < 60; ++i) {
    batch.outputs.push_back(static_cast<float>(random.Uniform()));
    batch.labels.push_back(static_cast<int32_t>(random.Below(2)));
  }
  ASSERT_OK_AND_ASSIGN(const auto metric, NewMetric(GetParam()));
  EXPECT_EQ(metric->name(), GetParam());
  EXPECT_TRUE(std::isnan(metric->Value()));
  for (int64_t start = 0; start < 60; start += 25) {
    Predictions part = batch.predictions();
    part.outputs += start;
    part.labels += start;
    part.rows = std::min<int64_t>(25, 60 - start);
    metric->Add(part);
  }
  EXPECT_EQ(metric->Value(), Value(GetParam(), batch));
  metric->Reset();
  EXPECT_TRUE(std::isnan(metric->Value()));
}

INSTANTIATE_TEST_SUITE_P(Names, EveryMetric, testing::ValuesIn(MetricNames()));

TEST(NewMetric, ListsTheNamesItKnows) {
  EXPECT_THAT(NewMetric("precision"),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("accuracy, top_5")));
}

}  // namespace
}  // namespace topiary
