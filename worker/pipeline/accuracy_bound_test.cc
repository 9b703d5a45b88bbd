#include "worker/pipeline/accuracy_bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace topiary {
namespace {

using Reference = AccuracyBoundSpec::Reference;

KeptModel Model(double sparsity, double accuracy) {
  KeptModel model;
  model.sparsity = sparsity;
  model.metrics = {{"accuracy", accuracy}};
  return model;
}

TEST(AccuracyBound, IsAtLeastTheValue) {
  const AccuracyBound bound({MetricSpec::kAccuracy, Reference::kNone, 0.9}, {}, {});
  EXPECT_TRUE(bound.IsMetBy({{"accuracy", 0.9}}));
  EXPECT_FALSE(bound.IsMetBy({{"accuracy", 0.89}, {"log_loss", 5}}));
  EXPECT_FALSE(bound.IsMetBy({{"accuracy", std::numeric_limits<double>::quiet_NaN()}}));
  EXPECT_FALSE(bound.IsMetBy({}));
  EXPECT_EQ(bound.Described(), "accuracy of at least 0.9");
}

TEST(AccuracyBound, OfALossIsAtMostTheValue) {
  const AccuracyBound bound({MetricSpec::kLogLoss, Reference::kNone, 0.5}, {}, {});
  EXPECT_TRUE(bound.IsMetBy({{"log_loss", 0.4}}));
  EXPECT_FALSE(bound.IsMetBy({{"log_loss", 0.6}}));
  EXPECT_EQ(bound.Described(), "log_loss of at most 0.5");
}

TEST(AccuracyBound, ADropIsTakenOffTheReference) {
  const MetricValues given = {{"accuracy", 0.75}, {"log_loss", 1}};
  const MetricValues dense = {{"accuracy", 0.5}};
  const AccuracyBound accuracy({MetricSpec::kAccuracy, Reference::kGiven, 0.25}, given, dense);
  EXPECT_TRUE(accuracy.IsMetBy({{"accuracy", 0.5}}));
  EXPECT_FALSE(accuracy.IsMetBy({{"accuracy", 0.49}}));
  EXPECT_EQ(accuracy.Described(),
            "accuracy of at least 0.5: 0.75 of the model as given, less 0.25");
  EXPECT_EQ(accuracy.Report().reference, "given");
  EXPECT_EQ(accuracy.Report().limit, 0.5);
  const AccuracyBound loss({MetricSpec::kLogLoss, Reference::kGiven, 0.5}, given, dense);
  EXPECT_TRUE(loss.IsMetBy({{"log_loss", 1.5}}));
  EXPECT_FALSE(loss.IsMetBy({{"log_loss", 1.6}}));
  EXPECT_TRUE(loss.Report().less_is_better);
  const AccuracyBound trained({MetricSpec::kAccuracy, Reference::kDense, 0}, given, dense);
  EXPECT_TRUE(trained.IsMetBy({{"accuracy", 0.5}}));
  EXPECT_EQ(trained.Described(), "accuracy of at least 0.5: 0.5 of the dense model, less 0");
}

// 0.8 - 0.1 is a little more than 0.7 in binary.
TEST(AccuracyBound, ADropOfJustWhatIsAllowedMeetsIt) {
  const AccuracyBound tie({MetricSpec::kAccuracy, Reference::kGiven, 0.1}, {{"accuracy", 0.8}}, {});
  EXPECT_TRUE(tie.IsMetBy({{"accuracy", 0.7}}));
  EXPECT_FALSE(tie.IsMetBy({{"accuracy", 0.6999999}}));
  for (const double drop : {0.01, 0.02, 0.05, 0.1}) {
    for (int given = 100; given <= 1000; ++given) {
      const AccuracyBound bound({MetricSpec::kAccuracy, Reference::kDense, drop}, {},
                                {{"accuracy", given / 1000.0}});
      const auto allowed = static_cast<int>(std::lround(1000 * drop));
      EXPECT_TRUE(bound.IsMetBy({{"accuracy", (given - allowed) / 1000.0}})) << given;
      EXPECT_FALSE(bound.IsMetBy({{"accuracy", (given - allowed - 1) / 1000.0}})) << given;
    }
  }
  const AccuracyBound loss({MetricSpec::kLogLoss, Reference::kGiven, 0.1}, {{"log_loss", 0.7}}, {});
  EXPECT_TRUE(loss.IsMetBy({{"log_loss", 0.8}}));
  EXPECT_FALSE(loss.IsMetBy({{"log_loss", 0.8000001}}));
}

TEST(AccuracyBound, NothingIsAsGoodAsAReferenceThatIsNoNumber) {
  const AccuracyBound bound({MetricSpec::kAuc, Reference::kGiven, 0.25},
                            {{"auc", std::numeric_limits<double>::quiet_NaN()}}, {});
  EXPECT_FALSE(bound.IsMetBy({{"auc", 1}}));
}

TEST(AccuracyBound, PrefersTheSparserAndOfEqualOnesTheBetter) {
  const AccuracyBound bound({MetricSpec::kAccuracy, Reference::kNone, 0.5}, {}, {});
  EXPECT_FALSE(bound.Prefers(Model(0, 0.9), std::nullopt)) << "it is not pruned";
  EXPECT_FALSE(bound.Prefers(Model(0.5, 0.4), std::nullopt));
  EXPECT_TRUE(bound.Prefers(Model(0.5, 0.6), std::nullopt));
  EXPECT_TRUE(bound.Prefers(Model(0.6, 0.5), Model(0.5, 0.9)));
  EXPECT_FALSE(bound.Prefers(Model(0.4, 0.9), Model(0.5, 0.5)));
  EXPECT_TRUE(bound.Prefers(Model(0.5, 0.7), Model(0.5, 0.6)));
  EXPECT_FALSE(bound.Prefers(Model(0.5, 0.6), Model(0.5, 0.6))) << "the earlier stays";
}

}  // namespace
}  // namespace topiary
