// Jobs that select among numbers and fields with embeddings of several inputs, whole: by groups,
// with tables that are updated by rows, with an input of which nothing is chosen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/data/testing/file_builder.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr int kNumbers = 3;
constexpr int kFields = 2;
constexpr int64_t kIds = 6;  // Of each field.

// Three numbers "x", and two fields "ids" with embeddings of 2 and of 3; a field is looked up as
// PyTorch exports x[:, i].
Graph Clicks() {
  GraphBuilder b({kNumbers});
  std::vector<std::string> parts = {"x"};
  for (int i = 0; i < kFields; ++i) {
    const std::string name = absl::StrCat("field", i);
    const std::string column = b.Add(
        "Constant", {}, {{"value", std::make_shared<const Tensor>(Tensor::Scalar(int64_t{i}))}});
    const std::string id = b.Add("Gather", {"ids", column}, {{"axis", int64_t{1}}});
    const std::string table = b.Weight(name, Shape({kIds, 2 + i}), 0.1F);
    parts.push_back(b.Add("Gather", {table, id}));
  }
  std::string v = b.Add("Concat", parts, {{"axis", int64_t{1}}});
  v = b.Add("Relu", {b.Linear("fc1", v, 8, 16)});
  Graph graph = b.Finish(b.Linear("head", v, 16, 3));
  ValueInfo ids;
  ids.name = "ids";
  ids.dtype = DType::kInt64;
  ids.has_shape = true;
  ids.dims = {{-1, "batch"}, {kFields, ""}};
  graph.inputs.push_back(ids);
  return graph;
}

// The class is half told by the last number, and half by the last field.
NpzSourceSpec WriteClicks(const std::string& path, int64_t count, uint64_t seed) {
  std::vector<float> x;
  std::vector<int64_t> ids, labels;
  for (int64_t row = 0; row < count; ++row) {
    Random random(seed, kStreamTest, static_cast<uint64_t>(row));
    const auto label = static_cast<int64_t>(random.Below(3));
    for (int i = 0; i < kNumbers; ++i) {
      x.push_back(random.Normal() + (i == 2 && label == 1 ? 4.0F : 0.0F));
    }
    ids.push_back(static_cast<int64_t>(random.Below(kIds)));
    ids.push_back(2 * static_cast<int64_t>(random.Below(kIds / 2)) + (label == 2 ? 1 : 0));
    labels.push_back(label);
  }
  const std::string n = absl::StrCat(count);
  CHECK_OK(WriteFileAtomically(
      path, ZipOf({{"x.npy", NpyOf<float>("<f4", absl::StrCat("(", n, ", 3)"), x)},
                   {"ids.npy", NpyOf<int64_t>("<i8", absl::StrCat("(", n, ", 2)"), ids)},
                   {"y.npy", NpyOf<int64_t>("<i8", absl::StrCat("(", n, ",)"), labels)}})));
  NpzSourceSpec source;
  source.path = path;
  return source;
}

class SelectingFields : public RunningJobs {
 protected:
  // With SGD, which updates the rows of tables that a step reads.
  // The selection has 120 steps, the network on what it chose 60.
  JobSpec Job(const SelectorOptions& selector, int64_t count) {
    JobSpec spec = SmallJob(folder_, MlpGraph());
    CHECK_OK(ExportOnnx(Clicks(), spec.model_path));
    spec.data.train = WriteClicks(folder_ + "/train.npz", 96, 1);
    spec.data.evaluation = WriteClicks(folder_ + "/evaluation.npz", 32, 2);
    spec.task.epochs = 10;
    spec.task.learning_rate.base = 0.1;
    spec.target.reset();
    spec.outputs.block_sparse = false;
    FeatureSelectionSpec selection;
    selection.count = count;
    selection.selector = selector;
    if (TrainsToSelect(selector)) selection.epochs = 20;
    spec.method = selection;
    return spec;
  }

  // "x2", "ids0", ...
  static std::set<std::string> Chosen(const nlohmann::json& report) {
    std::set<std::string> chosen;
    for (const auto& feature : report["feature_selection"]["features"]) {
      for (const auto& column : feature["columns"]) {
        chosen.insert(absl::StrCat(feature["input"].get<std::string>(), column.get<int>()));
      }
    }
    return chosen;
  }

  static Graph ModelOf(const JobOutcome& outcome) {
    return ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path, ImportLimits()).value();
  }

  // Runs `spec` with a checkpoint after every step, expects the same from those after `steps`, and
  // that its model, read again, is what was measured.
  JobOutcome RunAndRepeat(const JobSpec& spec, const std::vector<int64_t>& steps) {
    TickingObserver observer(&clock_);
    observer.checkpoint_folder = NewTestFolder();
    required_key_.reset();
    const absl::StatusOr<JobOutcome> straight = Run(spec, &observer);
    EXPECT_OK(straight.status());
    if (!straight.ok()) return {};
    required_key_ = observer.keys.at(0);
    for (const int64_t step : steps) {
      const absl::StatusOr<JobOutcome> resumed = Run(spec, nullptr, observer.CheckpointPath(step));
      EXPECT_OK(resumed.status());
      if (!resumed.ok()) continue;
      EXPECT_EQ(DigestOf(*resumed, JobFile::Kind::kOnnx), DigestOf(*straight, JobFile::Kind::kOnnx))
          << "from step " << step;
      EXPECT_EQ(ComparableReport(*resumed), ComparableReport(*straight)) << "from step " << step;
      EXPECT_TRUE(resumed->bit_exact) << "from step " << step;
    }
    JobSpec evaluate = spec;
    evaluate.model_path = Find(*straight, JobFile::Kind::kOnnx)->path;
    evaluate.method = EvaluateSpec();
    const absl::StatusOr<JobOutcome> measured = Run(evaluate);
    EXPECT_OK(measured.status());
    if (measured.ok()) {
      EXPECT_EQ(measured->given_metrics, straight->pruned_metrics);
    }
    return *straight;
  }
};

TEST_F(SelectingFields, ChoosesANumberAndAFieldWithItsEmbedding) {
  const JobOutcome outcome =
      RunAndRepeat(Job(SequentialAttentionOptions(), 2), {1, 59, 60, 119, 120, 121, 180});
  ASSERT_THAT(outcome.files, Not(IsEmpty()));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["feature_selection"]["candidates"], kNumbers + kFields);
  EXPECT_THAT(Chosen(report), ElementsAre("ids1", "x2"));
  EXPECT_GT(outcome.pruned_metrics.at("accuracy"), 0.8);
  const Graph model = ModelOf(outcome);
  EXPECT_EQ(model.inputs.size(), 2);
  EXPECT_EQ(model.FindInitializer("field0"), nullptr);
  EXPECT_EQ(model.FindInitializer("field1")->value.shape(), Shape({kIds, 3}));
  EXPECT_EQ(model.FindInitializer("fc1.weight")->value.shape(), Shape({16, 4}));
}

TEST_F(SelectingFields, AGroupMayHaveElementsOfOneOfSeveralInputs) {
  JobSpec spec = Job(SequentialAttentionOptions(), 2);
  std::get<FeatureSelectionSpec>(spec.method).groups = {{"first numbers", "x", {0, 1}},
                                                        {"fields", "ids", {0, 1}}};
  const JobOutcome outcome = RunAndRepeat(spec, {60, 130});
  ASSERT_THAT(outcome.files, Not(IsEmpty()));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["feature_selection"]["candidates"], 3);
  EXPECT_THAT(Chosen(report), ElementsAre("ids0", "ids1", "x2"));
  std::get<FeatureSelectionSpec>(spec.method).groups = {{"none", "clicks", {0}}};
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("input 'clicks'")));
}

// Whatever chance leaves out: an input stays declared and is fed, the tables of fields go.
TEST_F(SelectingFields, AnInputOfWhichNothingIsChosenIsStillFed) {
  bool left_ids = false, left_x = false;
  for (uint64_t seed = 0; seed < 100 && !(left_ids && left_x); ++seed) {
    RandomFeaturesOptions options;
    options.seed = seed;
    JobSpec spec = Job(options, 1);
    spec.dry_run = true;
    spec.task.seed = seed;
    const absl::StatusOr<JobOutcome> expected = Run(spec);
    ASSERT_OK(expected.status());
    const std::string chosen = *Chosen(ReportOf(*expected)).begin();
    bool* const left = chosen[0] == 'x' ? &left_ids : &left_x;
    if (std::exchange(*left, true)) continue;
    spec.dry_run = false;
    const JobOutcome outcome = RunAndRepeat(spec, {1, 15, 60});
    ASSERT_THAT(outcome.files, Not(IsEmpty()));
    EXPECT_THAT(Chosen(ReportOf(outcome)), ElementsAre(chosen));
    const Graph model = ModelOf(outcome);
    EXPECT_EQ(model.inputs.size(), 2);
    const int tables = (model.FindInitializer("field0") != nullptr ? 1 : 0) +
                       (model.FindInitializer("field1") != nullptr ? 1 : 0);
    EXPECT_EQ(tables, chosen[0] == 'x' ? 0 : 1);
  }
  EXPECT_TRUE(left_ids);
  EXPECT_TRUE(left_x);
}

}  // namespace
}  // namespace topiary
