#include "worker/pipeline/prepared_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <numeric>

#include "common/status_matchers.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// `outputs` linear outputs of 2 inputs.
Graph LinearGraph(int64_t outputs) {
  GraphBuilder b({2});
  return b.Finish(b.Linear("fc", "x", 2, outputs));
}

class PreparingData : public testing::Test {
 protected:
  // Rows of "a,b,label" as train.csv.
  DataSpec Csv(const std::string& rows) {
    CsvSourceSpec source;
    source.path = folder_ + "/train.csv";
    std::ofstream(source.path) << "a,b,label\n" << rows;
    DataSpec spec;
    spec.train = source;
    spec.evaluation = source;
    return spec;
  }
  absl::StatusOr<PreparedData> Prepare(const DataSpec& spec, LossSpec loss, int64_t outputs) {
    const absl::StatusOr<DataRequirements> requirements =
        RequirementsOf(LinearGraph(outputs), loss);
    if (!requirements.ok()) return requirements.status();
    return PrepareData(spec, loss, 0, *requirements, 0, check_);
  }

  std::function<absl::Status()> check_ = [] { return absl::OkStatus(); };
  const std::string folder_ = NewTestFolder();
};

TEST_F(PreparingData, ClassesForCrossEntropy) {
  ASSERT_OK_AND_ASSIGN(const PreparedData data,
                       Prepare(Csv("1,2,0\n3,4,2\n"), LossSpec::kCrossEntropy, 3));
  EXPECT_THAT(data.train.labels.values.span<int64_t>(), testing::ElementsAre(0, 2));
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), testing::ElementsAre(1, 2, 3, 4));
}

TEST_F(PreparingData, TargetsOfOneOutputTakeItsShape) {
  ASSERT_OK_AND_ASSIGN(const PreparedData data,
                       Prepare(Csv("1,2,0.5\n3,4,-7\n"), LossSpec::kMeanSquaredError, 1));
  EXPECT_EQ(data.train.labels.values.shape(), Shape({2, 1}));
  EXPECT_EQ(data.train.labels.values.data<float>()[1], -7);
}

TEST_F(PreparingData, BinaryLabelsMustBeZeroOrOne) {
  EXPECT_OK(Prepare(Csv("1,2,0\n3,4,1\n"), LossSpec::kBinaryCrossEntropy, 1).status());
  EXPECT_THAT(
      Prepare(Csv("1,2,0\n3,4,2\n"), LossSpec::kBinaryCrossEntropy, 1).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("spec.data.train: column 'label' of "),
                     HasSubstr(" has the label 2 in row 1"), HasSubstr("neither 0 nor 1"))));
}

TEST_F(PreparingData, TheLabelIsTheLastColumnUnlessSaid) {
  DataSpec spec = Csv("1,2,0\n0,4,2\n");
  auto& source = std::get<CsvSourceSpec>(spec.train);
  source.columns.push_back({std::string("a"), CsvColumnSpec::Role::kLabel});
  spec.evaluation = source;
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare(spec, LossSpec::kCrossEntropy, 3));
  EXPECT_THAT(data.train.labels.values.span<int64_t>(), testing::ElementsAre(1, 0));
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), testing::ElementsAre(2, 0, 4, 2));
}

TEST_F(PreparingData, AFeatureWhereTheLabelIsByDefaultIsRefused) {
  DataSpec spec = Csv("1,2,0\n0,4,2\n");
  auto& source = std::get<CsvSourceSpec>(spec.train);
  source.columns.push_back({std::string("label"), CsvColumnSpec::Role::kFeature});
  EXPECT_THAT(Prepare(spec, LossSpec::kCrossEntropy, 3).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("spec.data.train.csv"), HasSubstr("columns: column 'label'"),
                             HasSubstr("declare the label column"))));
  source.columns.push_back({0, CsvColumnSpec::Role::kLabel});
  EXPECT_OK(Prepare(spec, LossSpec::kCrossEntropy, 3).status());
}

TEST_F(PreparingData, AColumnIsFoundByIndexAlthoughAnotherHasThatName) {
  CsvSourceSpec source;
  source.path = folder_ + "/numbered.csv";
  std::ofstream(source.path) << "2,1,0\n5,6,1\n7,8,0\n";
  source.columns.push_back({2, CsvColumnSpec::Role::kLabel});
  DataSpec spec;
  spec.train = source;
  spec.evaluation = source;
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare(spec, LossSpec::kCrossEntropy, 2));
  EXPECT_THAT(data.train.labels.values.span<int64_t>(), testing::ElementsAre(1, 0));
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), testing::ElementsAre(5, 6, 7, 8));
}

TEST_F(PreparingData, ReadingEndsBetweenFilesWhenToldTo) {
  DataSpec spec = Csv("1,2,0\n3,4,1\n");
  std::get<CsvSourceSpec>(*spec.evaluation).path = folder_ + "/missing.csv";
  for (const int after : {0, 1}) {
    int asked = 0;
    check_ = [&] { return asked++ < after ? absl::OkStatus() : absl::CancelledError("told"); };
    EXPECT_THAT(Prepare(spec, LossSpec::kCrossEntropy, 2).status(),
                StatusIs(absl::StatusCode::kCancelled));
  }
}

TEST_F(PreparingData, IgnoredColumnsMayHoldAnything) {
  CsvSourceSpec source;
  source.path = folder_ + "/named.csv";
  std::ofstream(source.path) << "id,a,b,label\nx1,1,2,0\nx2,3,4,1\n";
  source.columns.push_back({0, CsvColumnSpec::Role::kIgnore});
  DataSpec spec;
  spec.train = source;
  spec.evaluation = source;
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare(spec, LossSpec::kCrossEntropy, 2));
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), testing::ElementsAre(1, 2, 3, 4));
}

TEST_F(PreparingData, AHeldOutPartIsDrawnBySeedAndNotTrainedOn) {
  std::string rows;
  for (int i = 0; i < 40; ++i) absl::StrAppend(&rows, i, ",", i, ",0\n");
  DataSpec spec = Csv(rows);
  spec.evaluation.reset();
  spec.validation_fraction = 0.25;
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare(spec, LossSpec::kCrossEntropy, 2));
  EXPECT_EQ(data.train.size(), 30);
  EXPECT_EQ(data.evaluation.size(), 10);
  double sum = 0;
  for (const Dataset* part : {&data.train, &data.evaluation}) {
    for (const float v : part->inputs[0].values.span<float>()) sum += v;
  }
  EXPECT_EQ(sum, 2 * 40 * 39 / 2);
  ASSERT_OK_AND_ASSIGN(const PreparedData again, Prepare(spec, LossSpec::kCrossEntropy, 2));
  EXPECT_TRUE(BitwiseEqual(again.evaluation.inputs[0].values, data.evaluation.inputs[0].values));
}

TEST_F(PreparingData, NormalizationIsFittedOnTheTrainingExamplesAlone) {
  DataSpec spec = Csv("10,0,0\n30,0,1\n");
  CsvSourceSpec evaluation;
  evaluation.path = folder_ + "/evaluation.csv";
  std::ofstream(evaluation.path) << "a,b,label\n50,1,0\n";
  spec.evaluation = evaluation;
  spec.divide_by = 10;
  spec.normalization.kind = NormalizationSpec::Kind::kFitted;
  spec.normalization.axis = NormalizationSpec::Axis::kFeature;
  ASSERT_OK_AND_ASSIGN(const PreparedData data, Prepare(spec, LossSpec::kCrossEntropy, 2));
  // Feature a: mean 2, deviation 1 after the division. Feature b never changes: only centred.
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), testing::ElementsAre(-1, 0, 1, 0));
  EXPECT_FLOAT_EQ(data.evaluation.inputs[0].values.data<float>()[0], 3);
}

TEST_F(PreparingData, ErrorsNameThePartOfTheSpec) {
  EXPECT_THAT(Prepare(Csv("1,2,9\n"), LossSpec::kCrossEntropy, 3).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("spec.data.train: column 'label' of "),
                             HasSubstr(" has the label 9 in row 0"), HasSubstr("counted from 0"))));
  EXPECT_THAT(Prepare(Csv("1,2,0\n1,red,0\n"), LossSpec::kCrossEntropy, 3).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("spec.data.train.csv: "),
                             HasSubstr("row 1 (counted from 0; line 3), column 'b'"))));
  DataSpec missing = Csv("1,2,0\n");
  std::get<CsvSourceSpec>(*missing.evaluation).path = folder_ + "/missing.csv";
  EXPECT_THAT(Prepare(missing, LossSpec::kCrossEntropy, 3).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("spec.data.evaluation.csv: ")));
}

TEST_F(PreparingData, AFileBeyondTheMemoryLimitIsRefused) {
  const DataSpec spec = Csv("1,2,0\n3,4,1\n5,6,0\n7,8,1\n");
  const DataRequirements requirements =
      RequirementsOf(LinearGraph(2), LossSpec::kCrossEntropy).value();
  EXPECT_THAT(PrepareData(spec, LossSpec::kCrossEntropy, 0, requirements, 16, check_).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

struct Unfit {
  const char* name;
  std::function<Graph()> graph;
  LossSpec loss;
  const char* message;
};

class ModelsThatDoNotFit : public testing::TestWithParam<Unfit> {};

TEST_P(ModelsThatDoNotFit, AreNamed) {
  EXPECT_THAT(RequirementsOf(GetParam().graph(), GetParam().loss).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(Cases, ModelsThatDoNotFit,
                         testing::Values(Unfit{"OneClass", [] { return LinearGraph(1); },
                                               LossSpec::kCrossEntropy, "2 classes or more"},
                                         Unfit{"TwoOutputs",
                                               [] {
                                                 Graph graph = LinearGraph(3);
                                                 graph.outputs.push_back(graph.outputs[0]);
                                                 return graph;
                                               },
                                               LossSpec::kCrossEntropy, "2 outputs"}),
                         [](const testing::TestParamInfo<Unfit>& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
