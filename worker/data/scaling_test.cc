#include "worker/data/scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
using Normalize = ScalingOptions::Normalize;

Dataset DataOf(const Shape& shape, const std::vector<float>& values) {
  Dataset dataset;
  dataset.inputs.push_back({"x", Tensor::FromVector(shape, values)});
  return dataset;
}

std::vector<float> Scaled(Dataset dataset, const ScalingOptions& options) {
  const absl::StatusOr<Scaling> scaling = FitScaling(dataset, "x", options);
  EXPECT_OK(scaling);
  EXPECT_OK(ApplyScaling(*scaling, dataset));
  const auto span = dataset.inputs[0].values.span<float>();
  return {span.begin(), span.end()};
}

TEST(Scaling, BytesAreDividedIntoTheUnitInterval) {
  ScalingOptions options;
  options.divide_by = 255;
  EXPECT_THAT(Scaled(DataOf({3, 1}, {0, 51, 255}), options),
              ElementsAre(0, FloatNear(0.2f, 1e-7f), 1));
}

TEST(Scaling, ConstantsApplyAfterTheDivision) {
  ScalingOptions options;
  options.divide_by = 10;
  options.normalize = Normalize::kConstant;
  options.mean = {0.5};
  options.standard_deviation = {0.25};
  EXPECT_THAT(Scaled(DataOf({2, 1}, {5, 10}), options), ElementsAre(0, 2));
}

TEST(Scaling, ConstantsPerChannelCoverEachPlane) {
  ScalingOptions options;
  options.normalize = Normalize::kConstant;
  options.mean = {1, 10};
  options.standard_deviation = {1, 10};
  EXPECT_THAT(Scaled(DataOf({1, 2, 1, 2}, {1, 2, 10, 30}), options), ElementsAre(0, 1, 0, 2));
}

TEST(Scaling, FittedFeaturesHaveMeanZeroAndDeviationOne) {
  ScalingOptions options;
  options.normalize = Normalize::kFitPerFeature;
  EXPECT_THAT(Scaled(DataOf({2, 2}, {1, 100, 3, 300}), options), ElementsAre(-1, -1, 1, 1));
}

TEST(Scaling, AFeatureThatDoesNotVaryIsOnlyCentred) {
  ScalingOptions options;
  options.normalize = Normalize::kFitPerFeature;
  EXPECT_THAT(Scaled(DataOf({2, 1}, {5, 5}), options), ElementsAre(0, 0));
}

TEST(Scaling, ChannelsAreFittedOverTheirPlane) {
  ScalingOptions options;
  options.normalize = Normalize::kFitPerChannel;
  EXPECT_THAT(Scaled(DataOf({1, 2, 2}, {0, 2, 10, 30}), options), ElementsAre(-1, 1, -1, 1));
}

TEST(Scaling, OverallFitsOneMean) {
  ScalingOptions options;
  options.normalize = Normalize::kFitOverall;
  EXPECT_THAT(Scaled(DataOf({2, 2}, {0, 0, 4, 4}), options), ElementsAre(-1, -1, 1, 1));
}

TEST(Scaling, StatisticsOfTheTrainingRowsServeOtherData) {
  const Dataset train = DataOf({2, 1}, {0, 2});
  ScalingOptions options;
  options.normalize = Normalize::kFitOverall;
  ASSERT_OK_AND_ASSIGN(const Scaling scaling, FitScaling(train, "x", options));
  Dataset test = DataOf({1, 1}, {5});
  ASSERT_OK(ApplyScaling(scaling, test));
  EXPECT_EQ(test.inputs[0].values.data<float>()[0], 4);
}

TEST(Scaling, ConstantsThatDoNotFitAreRefused) {
  const Dataset dataset = DataOf({1, 2, 3}, {1, 2, 3, 4, 5, 6});
  const auto fit = [&](std::vector<double> mean, std::vector<double> deviation) {
    ScalingOptions options;
    options.normalize = Normalize::kConstant;
    options.mean = std::move(mean);
    options.standard_deviation = std::move(deviation);
    return FitScaling(dataset, "x", options);
  };
  EXPECT_OK(fit({1, 2}, {1, 1}));
  EXPECT_THAT(fit({1, 2, 3}, {1, 1, 1}), StatusIs(kInvalid, HasSubstr("[2,3]")));
  EXPECT_THAT(fit({1}, {1, 1}), StatusIs(kInvalid, HasSubstr("as many of each")));
  EXPECT_THAT(fit({}, {}), StatusIs(kInvalid));
  EXPECT_THAT(fit({0}, {0}), StatusIs(kInvalid, HasSubstr("above 0")));
  EXPECT_THAT(fit({NAN}, {1}), StatusIs(kInvalid, HasSubstr("finite")));
}

TEST(Scaling, IdsAndUnknownInputsAreRefused) {
  Dataset dataset;
  dataset.inputs.push_back({"ids", Tensor(DType::kInt64, Shape({2}))});
  EXPECT_THAT(FitScaling(dataset, "ids", {}), StatusIs(kInvalid, HasSubstr("int64")));
  EXPECT_THAT(FitScaling(dataset, "x", {}), StatusIs(kInvalid, HasSubstr("no such input")));
  ScalingOptions zero;
  zero.divide_by = 0;
  EXPECT_THAT(FitScaling(DataOf({1}, {1}), "x", zero), StatusIs(kInvalid, HasSubstr("divide_by")));
}

}  // namespace
}  // namespace topiary
