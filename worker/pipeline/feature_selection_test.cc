// Jobs that select features, whole: what they choose, what they leave behind, the same bits from
// any checkpoint of either training.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr int kFeatures = 10;

// A class of 4; three of ten features tell it, each one class from the others.
std::string WriteCsv(const std::string& path, int rows, uint64_t seed) {
  std::ofstream out(path);
  for (int i = 0; i < kFeatures; ++i) out << "f" << i << ",";
  out << "label\n";
  for (int row = 0; row < rows; ++row) {
    Random random(seed, kStreamTest, static_cast<uint64_t>(row));
    const int label = static_cast<int>(random.Below(4));
    for (int i = 0; i < kFeatures; ++i) {
      const bool tells = (i == 2 && label == 1) || (i == 5 && label == 2) || (i == 7 && label == 3);
      out << random.Normal() + (tells ? 4.0F : 0.0F) << ",";
    }
    out << label << "\n";
  }
  CHECK(out.good());
  return path;
}

// BatchNormalization of ten inputs, Linear 10x16, ReLU, Linear 16x4.
Graph Network() {
  GraphBuilder b({kFeatures});
  const Shape width({kFeatures});
  std::string v = b.Add("BatchNormalization",
                        {"x", b.Constant("bn.scale", width, 1), b.Constant("bn.bias", width, 0),
                         b.Constant("bn.mean", width, 0), b.Constant("bn.var", width, 1)});
  v = b.Add("Relu", {b.Linear("fc1", v, kFeatures, 16)});
  return b.Finish(b.Linear("head", v, 16, 4));
}

class SelectingJobs : public RunningJobs {
 protected:
  JobSpec Job(const SelectorOptions& selector) {
    JobSpec spec = SmallJob(folder_, Network());
    CsvSourceSpec train, evaluation;
    train.path = WriteCsv(folder_ + "/train.csv", 96, 3);
    evaluation.path = WriteCsv(folder_ + "/evaluation.csv", 32, 4);
    spec.data.train = train;
    spec.data.evaluation = evaluation;
    spec.task.optimizer.kind = OptimizerSpec::Kind::kAdam;
    spec.task.learning_rate.base = 0.03;
    spec.target.reset();
    spec.outputs.block_sparse = false;
    FeatureSelectionSpec selection;
    selection.count = 3;
    selection.selector = selector;
    if (TrainsToSelect(selector)) selection.epochs = 20;
    spec.method = selection;
    return spec;
  }

  static std::set<int64_t> Columns(const nlohmann::json& report) {
    std::set<int64_t> columns;
    for (const auto& feature : report["feature_selection"]["features"]) {
      for (const auto& column : feature["columns"]) columns.insert(column.get<int64_t>());
    }
    return columns;
  }
};

struct SelectorCase {
  std::string name;
  SelectorOptions selector;
};

void PrintTo(const SelectorCase& selector, std::ostream* out) { *out << selector.name; }

std::string NameOf(const testing::TestParamInfo<SelectorCase>& info) { return info.param.name; }

SequentialAttentionOptions SeveralPerStep() {
  SequentialAttentionOptions options;
  options.features_per_step = 2;
  options.warmup_fraction = 0.25;
  return options;
}

std::vector<SelectorCase> SelectorsThatFind() {
  return {{"sequential_attention", SequentialAttentionOptions()},
          {"sequential_attention_several", SeveralPerStep()},
          {"omp", OmpOptions{1, 5}},
          {"sequential_lasso", SequentialLassoOptions()},
          {"group_lasso", GroupLassoSelectorOptions()},
          {"stochastic_gates", StochasticGatesOptions()},
          {"concrete_autoencoder", ConcreteAutoencoderOptions()}};
}

std::vector<SelectorCase> Selectors() {
  std::vector<SelectorCase> selectors = SelectorsThatFind();
  // Its mask network has too few steps here to find all three.
  selectors.push_back({"liao_latty_yang", LiaoLattyYangOptions()});
  selectors.push_back({"omp_linear", LinearOmpOptions()});
  selectors.push_back({"random", RandomFeaturesOptions()});
  return selectors;
}

class ChoosingJobs : public SelectingJobs, public testing::WithParamInterface<SelectorCase> {};

TEST_P(ChoosingJobs, FindTheFeaturesThatTellTheClass) {
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(Job(GetParam().selector)));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_THAT(Columns(report), UnorderedElementsAre(2, 5, 7));
  EXPECT_GT(outcome.pruned_metrics.at("accuracy"), 0.75);
  EXPECT_GT(report["feature_selection"]["metrics"]["accuracy"], 0.45);
}

INSTANTIATE_TEST_SUITE_P(Selectors, ChoosingJobs, testing::ValuesIn(SelectorsThatFind()), NameOf);

class EverySelector : public SelectingJobs, public testing::WithParamInterface<SelectorCase> {};

TEST_P(EverySelector, LeavesASmallerModelOfTheSameInputs) {
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(Job(GetParam().selector)));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["method"], "feature_selection");
  EXPECT_EQ(report["feature_selection"]["candidates"], kFeatures);
  ASSERT_EQ(report["feature_selection"]["features"].size(), 3);
  for (const auto& feature : report["feature_selection"]["features"]) {
    const auto column = feature["columns"][0].get<int>();
    EXPECT_EQ(feature["names"], nlohmann::json({absl::StrCat("f", column)}));
    EXPECT_EQ(feature["input"], "x");
  }
  EXPECT_EQ(Columns(report).size(), 3) << "all different";
  EXPECT_EQ(outcome.files.size(), 2);
  ASSERT_OK_AND_ASSIGN(const Graph model,
                       ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path, ImportLimits()));
  EXPECT_EQ(model.inputs[0].dims[1].extent, kFeatures);
  EXPECT_EQ(model.FindInitializer("fc1.weight")->value.shape(), Shape({16, 3}));
  EXPECT_EQ(model.FindInitializer("bn.mean")->value.shape(), Shape({3}));
  // What it was measured to be is what the file is.
  JobSpec evaluate = Job(GetParam().selector);
  evaluate.model_path = Find(outcome, JobFile::Kind::kOnnx)->path;
  evaluate.method = EvaluateSpec();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(evaluate));
  EXPECT_EQ(measured.given_metrics, outcome.pruned_metrics);
}

// A checkpoint after every step, and a fresh run from some of them, in both trainings.
TEST_P(EverySelector, GivesTheSameBitsFromAnyCheckpoint) {
  const JobSpec spec = Job(GetParam().selector);
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  const bool trains = TrainsToSelect(GetParam().selector);
  ASSERT_EQ(observer.checkpoint_steps.back(), trains ? 150 : 30);
  ASSERT_TRUE(std::is_sorted(observer.checkpoint_steps.begin(), observer.checkpoint_steps.end()));
  required_key_ = observer.keys.at(0);
  const std::vector<int64_t> trained = {1, 41, 119, 120, 121, 150};
  for (const int64_t step : trains ? trained : std::vector<int64_t>{1, 15, 30}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx))
        << "from step " << step;
    EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight)) << "from step " << step;
    EXPECT_TRUE(resumed.bit_exact) << "from step " << step;
  }
}

TEST_P(EverySelector, DryRunTellsOfFeaturesDrawnByChance) {
  JobSpec spec = Job(GetParam().selector);
  spec.dry_run = true;
  spec.outputs.latency_batches = {2};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["dry_run"], true);
  EXPECT_EQ(Columns(report).size(), 3);
  EXPECT_EQ(report["feature_selection"]["drawn_by_chance"], true);
  EXPECT_EQ(report["layers"][0]["rows"], 3);
  EXPECT_EQ(report["latency"].size(), 1);
  EXPECT_EQ(outcome.files.size(), 1) << "the report alone";
}

INSTANTIATE_TEST_SUITE_P(Selectors, EverySelector, testing::ValuesIn(Selectors()), NameOf);

TEST_F(SelectingJobs, TheSeedDrawsRandomFeaturesAndTheNetworkOnThem) {
  ASSERT_OK_AND_ASSIGN(const JobOutcome first, Run(Job(RandomFeaturesOptions{0})));
  ASSERT_OK_AND_ASSIGN(const JobOutcome same, Run(Job(RandomFeaturesOptions{0})));
  ASSERT_OK_AND_ASSIGN(const JobOutcome other, Run(Job(RandomFeaturesOptions{5})));
  EXPECT_EQ(DigestOf(first, JobFile::Kind::kOnnx), DigestOf(same, JobFile::Kind::kOnnx));
  EXPECT_NE(Columns(ReportOf(first)), Columns(ReportOf(other)));
}

// The model given is trained here; what comes of it must not depend on that.
TEST_F(SelectingJobs, TheNetworkOnTheChosenFeaturesStartsAfresh) {
  const JobSpec spec = Job(RandomFeaturesOptions());
  ASSERT_OK_AND_ASSIGN(const JobOutcome first, Run(spec));
  Graph changed = Network();
  for (float& value : changed.FindInitializer("fc1.weight")->value.span<float>()) value += 1;
  ASSERT_OK(ExportOnnx(changed, spec.model_path));
  ASSERT_OK_AND_ASSIGN(const JobOutcome second, Run(spec));
  EXPECT_EQ(DigestOf(first, JobFile::Kind::kOnnx), DigestOf(second, JobFile::Kind::kOnnx));
}

TEST_F(SelectingJobs, AGroupIsOneFeature) {
  JobSpec spec = Job(SequentialAttentionOptions());
  auto& selection = std::get<FeatureSelectionSpec>(spec.method);
  selection.groups = {{"telling", "x", {2, 5}}, {"rest", "", {0, 1, 3, 4, 6}}};
  selection.count = 2;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["feature_selection"]["candidates"], 5);
  EXPECT_EQ(report["feature_selection"]["features"][0]["group"], "telling");
  EXPECT_THAT(Columns(report), ElementsAre(2, 5, 7));
}

// The examples, the basis and the residuals are in memory together.
TEST_F(SelectingJobs, LinearOmpNeedsMemoryBesideTheExamples) {
  JobSpec spec = Job(LinearOmpOptions());
  std::get<CsvSourceSpec>(spec.data.train).path = WriteCsv(folder_ + "/many.csv", 2000, 3);
  std::get<FeatureSelectionSpec>(spec.method).count = 9;
  spec.memory_limit_bytes = 250000;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("omp_linear")));
  spec.memory_limit_bytes = 400000;
  EXPECT_OK(Run(spec).status());
}

// What a selector keeps may be far more than the network.
TEST_F(SelectingJobs, TheLimitOfMemoryCountsTheSelector) {
  GraphBuilder b({400});
  const Graph wide = b.Finish(b.Linear("head", "x", 400, 3));
  const std::string folder = NewTestFolder();
  const JobSpec small = SmallJob(folder, wide);
  const auto with = [&](const SelectorOptions& selector) {
    JobSpec spec = Job(selector);
    spec.model_path = small.model_path;
    spec.data = small.data;
    std::get<FeatureSelectionSpec>(spec.method).count = 300;
    std::get<FeatureSelectionSpec>(spec.method).epochs = 100;
    spec.memory_limit_bytes = 2000000;
    spec.dry_run = true;
    return Run(spec).status();
  };
  SequentialAttentionOptions options;
  options.features_per_step = 300;
  EXPECT_OK(with(options));
  for (const SelectorOptions& selector :
       {SelectorOptions(ConcreteAutoencoderOptions()), SelectorOptions(LiaoLattyYangOptions())}) {
    EXPECT_THAT(with(selector),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("choice of features")));
  }
}

TEST_F(SelectingJobs, RefusesWhatCannotBeChosen) {
  JobSpec spec = Job(SequentialAttentionOptions());
  std::get<FeatureSelectionSpec>(spec.method).count = kFeatures;
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("spec.feature_selection.count is 10")));
  std::get<FeatureSelectionSpec>(spec.method).count = 9;
  std::get<FeatureSelectionSpec>(spec.method).epochs = 1;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("6 steps")));
  ASSERT_OK(ExportOnnx(ConvGraph(), spec.model_path));
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("first layer")));
}

}  // namespace
}  // namespace topiary
