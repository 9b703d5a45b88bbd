#include "worker/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

// Three examples of two features, labels 0 to 2.
Dataset Small() {
  Dataset dataset;
  dataset.inputs.push_back({"x", Tensor::FromVector<float>(Shape({3, 2}), {1, 2, 3, 4, 5, 6})});
  dataset.labels = {"y", Tensor::FromVector<int64_t>(Shape({3}), {0, 1, 2})};
  return dataset;
}

DataRequirements Classifier() {
  DataRequirements requirements;
  requirements.inputs.push_back({"input", DType::kFloat32, Shape({2})});
  requirements.class_count = 3;
  return requirements;
}

TEST(Dataset, TheOnlyArrayFeedsTheOnlyInput) {
  Dataset dataset = Small();
  ASSERT_OK(ConformDataset("f", Classifier(), dataset));
  EXPECT_EQ(dataset.inputs[0].name, "input");
}

TEST(Dataset, ExamplesAreReshapedWhereOnlyTheRankDiffers) {
  Dataset dataset = Small();
  DataRequirements requirements = Classifier();
  requirements.inputs[0].example_shape = Shape({1, 1, 2});
  ASSERT_OK(ConformDataset("f", requirements, dataset));
  EXPECT_EQ(dataset.inputs[0].values.shape(), Shape({3, 1, 1, 2}));
}

TEST(Dataset, WholeFloatsAndAColumnOfLabelsBecomeClasses) {
  Dataset dataset = Small();
  dataset.labels.values = Tensor::FromVector<float>(Shape({3, 1}), {2, 0, 1});
  ASSERT_OK(ConformDataset("f", Classifier(), dataset));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(2, 0, 1));
}

TEST(Dataset, IntegerLabelsBecomeFloatTargets) {
  Dataset dataset = Small();
  DataRequirements requirements = Classifier();
  requirements.class_count = 0;
  requirements.label_shape = Shape({1});
  ASSERT_OK(ConformDataset("f", requirements, dataset));
  EXPECT_EQ(dataset.labels.values.shape(), Shape({3, 1}));
  EXPECT_THAT(dataset.labels.values.span<float>(), ElementsAre(0, 1, 2));
}

TEST(Dataset, ArraysAreBroughtIntoTheOrderOfTheModelsInputs) {
  Dataset dataset = Small();
  dataset.inputs.push_back({"ids", Tensor::FromVector<int64_t>(Shape({3}), {4, 5, 6})});
  DataRequirements requirements = Classifier();
  requirements.inputs = {{"ids", DType::kInt64, Shape()}, {"x", DType::kFloat32, Shape({2})}};
  ASSERT_OK(ConformDataset("f", requirements, dataset));
  EXPECT_EQ(dataset.inputs[0].name, "ids");
  EXPECT_EQ(dataset.inputs[1].name, "x");
}

struct Wrong {
  const char* name;
  std::function<void(Dataset&, DataRequirements&)> spoil;
  const char* message;
};

class WrongData : public testing::TestWithParam<Wrong> {};

TEST_P(WrongData, IsRefusedNamingFileArrayAndRow) {
  Dataset dataset = Small();
  DataRequirements requirements = Classifier();
  GetParam().spoil(dataset, requirements);
  EXPECT_THAT(ConformDataset("train.npz", requirements, dataset),
              StatusIs(kInvalid, AllOf(HasSubstr("train.npz: "), HasSubstr(GetParam().message))));
}

using D = Dataset;
using R = DataRequirements;

INSTANTIATE_TEST_SUITE_P(
    Dataset, WrongData,
    testing::Values(
        Wrong{"ShapeIsNotTheModels", [](D&, R& r) { r.inputs[0].example_shape = Shape({3}); },
              "array 'input' has examples of shape [2], but the model needs [3]"},
        Wrong{"TransposedShape",
              [](D& d, R& r) {
                d.inputs[0].values = Tensor(DType::kFloat32, Shape({3, 2, 5}));
                r.inputs[0].example_shape = Shape({5, 2});
              },
              "shape [2,5], but the model needs [5,2]"},
        Wrong{"WrongDtype", [](D&, R& r) { r.inputs[0].dtype = DType::kInt64; },
              "is float32, but the model needs int64"},
        Wrong{"NaNFeature", [](D& d, R&) { d.inputs[0].values.data<float>()[3] = NAN; },
              "array 'input' has NaN in row 1, element 1 (counted from 0)"},
        Wrong{"ArrayOfAFormatWithOtherWords",
              [](D& d, R&) {
                d.inputs[0].origin = "images";
                d.inputs[0].values.data<float>()[0] = NAN;
              },
              "train.npz: images has NaN in row 0"},
        Wrong{"InfiniteFeature", [](D& d, R&) { d.inputs[0].values.data<float>()[4] = -INFINITY; },
              "has an infinite value in row 2, element 0"},
        Wrong{"NaNLabel",
              [](D& d, R&) {
                d.labels.values = Tensor::FromVector<float>(Shape({3}), {0, NAN, 1});
              },
              "array 'y' has NaN in row 1"},
        Wrong{"FractionalLabel",
              [](D& d, R&) {
                d.labels.values = Tensor::FromVector<float>(Shape({3}), {0, 1, 1.5});
              },
              "the label 1.5 in row 2 (counted from 0), which is no class index"},
        Wrong{"LabelTooLarge", [](D&, R& r) { r.class_count = 2; },
              "the label 2 in row 2 (counted from 0), but the model's classes are 0 to 1"},
        Wrong{"NegativeLabel", [](D& d, R&) { d.labels.values.data<int64_t>()[0] = -1; },
              "the label -1 in row 0 (counted from 0)"},
        Wrong{"IdBeyondItsTable",
              [](D& d, R& r) {
                d.inputs[0].values = Tensor::FromVector<int64_t>(Shape({3, 2}), {0, 9, 1, 2, 3, 3});
                r.inputs[0].dtype = DType::kInt64;
                r.inputs[0].id_limits = {3, 10};
              },
              "array 'input' has the id 3 in row 2, element 0 (counted from 0), but the model's "
              "table has the rows 0 to 2"},
        Wrong{
            "NegativeId",
            [](D& d, R& r) {
              d.inputs[0].values = Tensor::FromVector<int64_t>(Shape({3, 2}), {0, -1, 1, 2, 3, 3});
              r.inputs[0].dtype = DType::kInt64;
              r.inputs[0].id_limits = {10, 10};
            },
            "has the id -1 in row 0, element 1"},
        Wrong{"OneHotLabels",
              [](D& d, R&) {
                d.labels.values = Tensor(DType::kInt64, Shape({3, 3}));
              },
              "array 'y' has examples of shape [3], but the model needs []"},
        Wrong{"CountsDiffer", [](D& d, R&) { d.labels.values = Tensor(DType::kInt64, Shape({4})); },
              "array 'y' has 4 examples, but array 'input' has 3"},
        Wrong{"NoExamples",
              [](D& d, R&) {
                d.inputs[0].values = Tensor(DType::kFloat32, Shape({0, 2}));
              },
              "no examples"},
        Wrong{"ArrayWithoutInput",
              [](D& d, R&) {
                d.inputs.push_back({"z", Tensor(DType::kFloat32, Shape({3}))});
              },
              "array 'x' feeds no input of the model, which has 'input'"},
        Wrong{"InputWithoutArray",
              [](D& d, R& r) {
                d.inputs[0].name = "input";
                r.inputs.push_back({"mask", DType::kFloat32, Shape()});
              },
              "no array feeds the model's input 'mask'"},
        Wrong{"ScalarArray",
              [](D& d, R&) { d.inputs[0].values = Tensor(DType::kFloat32, Shape()); },
              "holds no examples"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Dataset, ASplitIsDisjointCompleteAndDrawnFromTheSeed) {
  ASSERT_OK_AND_ASSIGN(const SplitRows split, SplitBySeed(100, 0.2, 7));
  EXPECT_EQ(split.holdout.size(), 20u);
  std::vector<int64_t> all = split.train;
  all.insert(all.end(), split.holdout.begin(), split.holdout.end());
  std::sort(all.begin(), all.end());
  for (int64_t i = 0; i < 100; ++i) EXPECT_EQ(all[i], i);
  EXPECT_TRUE(std::is_sorted(split.train.begin(), split.train.end()));
  EXPECT_EQ(SplitBySeed(100, 0.2, 7)->holdout, split.holdout);
  EXPECT_NE(SplitBySeed(100, 0.2, 8)->holdout, split.holdout);
}

TEST(Dataset, ASplitLeavesAnExampleOnEachSide) {
  EXPECT_EQ(SplitBySeed(2, 0.01, 0)->holdout.size(), 1u);
  EXPECT_EQ(SplitBySeed(2, 0.99, 0)->train.size(), 1u);
  EXPECT_THAT(SplitBySeed(1, 0.5, 0), StatusIs(kInvalid));
  EXPECT_THAT(SplitBySeed(10, 0.0, 0), StatusIs(kInvalid));
  EXPECT_THAT(SplitBySeed(10, 1.0, 0), StatusIs(kInvalid));
  EXPECT_THAT(SplitBySeed(10, NAN, 0), StatusIs(kInvalid));
}

TEST(Dataset, SelectedRowsKeepTheirOrder) {
  const Dataset selected = SelectRows(Small(), {2, 0});
  EXPECT_THAT(selected.inputs[0].values.span<float>(), ElementsAre(5, 6, 1, 2));
  EXPECT_THAT(selected.labels.values.span<int64_t>(), ElementsAre(2, 0));
}

}  // namespace
}  // namespace topiary
