// Pruning of structures by calibration: which candidates go, and by what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/pipeline/calibrating_jobs_test_util.h"
#include "worker/pipeline/calibration.h"
#include "worker/pipeline/loaded_job.h"

namespace topiary {
namespace {

class CalibratedStructures : public CalibratingJobs {
 protected:
  JobSpec Job(const Graph& graph, MethodOptions method, Structure structure) {
    JobSpec spec = CalibratingJobs::Job(graph, std::move(method));
    spec.target->structure = structure;
    spec.outputs.block_sparse = false;
    return spec;
  }

  absl::StatusOr<Calibration> Calibrated(const JobSpec& spec, const LoadedJob& job) {
    return PruneByCalibration(spec, job, &backend_, reporter_.checker());
  }

  RecordingObserver observer_;
  const JobReporter reporter_{&observer_, &clock_};
  ReferenceBackend backend_;
};

// Units of fc1 are ranked by what fc2 reads of them, those of fc2 by head, which sees what is left.
TEST_F(CalibratedStructures, RankHiddenUnitsByWhatTheLayerAfterThemReads) {
  JobSpec spec = Job(MlpGraph(), WandaOptions(), Structure::kNeurons);
  ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter_));
  ASSERT_OK_AND_ASSIGN(const Calibration found, Calibrated(spec, job));
  ASSERT_EQ(found.supports.size(), 2u);
  Graph left = job.graph.Clone();
  const absl::Span<const float> examples = job.data.train.inputs[0].values.span<float>();
  std::vector<double> x(examples.begin(), examples.end());
  int64_t inputs = 8;
  const std::vector<std::string> layers = {"fc1", "fc2", "head"};
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    x = LinearAndRelu(x, inputs, left, layers[i]);
    const std::string reader = layers[i + 1] + ".weight";
    const Tensor& given = job.graph.FindInitializer(reader)->value;
    inputs = given.shape()[1];
    const std::vector<double> squares = MeanSquares(x, inputs);
    std::vector<std::pair<double, int64_t>> scores;
    for (int64_t unit = 0; unit < inputs; ++unit) {
      double score = 0;
      for (int64_t out = 0; out < given.shape()[0]; ++out) {
        score += std::pow(given.data<float>()[out * inputs + unit], 2) * squares[unit];
      }
      scores.emplace_back(-score, unit);
    }
    std::sort(scores.begin(), scores.end());
    Support expected(inputs, 0);
    for (int64_t kept = 0; kept < inputs / 4; ++kept) expected[scores[kept].second] = 1;
    EXPECT_EQ(found.supports[i], expected) << layers[i];
    const Tensor& weights = found.weights.at(reader);
    for (int64_t at = 0; at < weights.element_count(); ++at) {
      EXPECT_EQ(weights.data<float>()[at],
                expected[at % inputs] != 0 ? given.data<float>()[at] : 0.0F);
    }
    ASSERT_OK(left.ReplaceInitializer(reader, weights.Clone()));
  }
}

// 12 units that two layers read, and 6 of another that come later in the network but are read
// first.
TEST_F(CalibratedStructures, SumScoresOverAllThatReadAUnit) {
  GraphBuilder b({8});
  const std::string wide = b.Add("Relu", {b.Linear("wide", "x", 8, 12)});
  const std::string narrow = b.Add("Relu", {b.Linear("narrow", "x", 8, 6)});
  std::string v = b.Linear("after_narrow", narrow, 6, 5);
  v = b.Add("Add", {v, b.Linear("left", wide, 12, 5)});
  v = b.Add("Add", {v, b.Linear("right", wide, 12, 5)});
  JobSpec spec = Job(b.Finish(b.Linear("head", v, 5, 3)), WandaOptions(), Structure::kNeurons);
  spec.target->include_layers = {"wide.weight", "narrow.weight"};
  spec.target->sparsity = 0.5;
  ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter_));
  ASSERT_OK_AND_ASSIGN(const Calibration found, Calibrated(spec, job));
  ASSERT_EQ(found.supports.size(), 2u);
  ASSERT_EQ(found.supports[0].size(), 12u);
  ASSERT_EQ(found.supports[1].size(), 6u);
  const absl::Span<const float> examples = job.data.train.inputs[0].values.span<float>();
  const std::vector<double> x(examples.begin(), examples.end());
  const std::vector<double> squares = MeanSquares(LinearAndRelu(x, 8, job.graph, "wide"), 12);
  std::vector<double> scores(12, 0);
  for (const std::string reader : {"left.weight", "right.weight"}) {
    const absl::Span<const float> w = job.graph.FindInitializer(reader)->value.span<float>();
    for (size_t i = 0; i < w.size(); ++i) scores[i % 12] += std::pow(w[i], 2) * squares[i % 12];
  }
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  for (size_t unit = 0; unit < 12; ++unit) {
    EXPECT_EQ(found.supports[0][unit], scores[unit] > sorted[5] ? 1 : 0) << unit;
    for (const std::string reader : {"left.weight", "right.weight"}) {
      EXPECT_EQ(found.weights.at(reader).data<float>()[unit] == 0, scores[unit] <= sorted[5]);
    }
  }
}

// Of branches that end with Relu(x) W each, all are measured before any goes.
TEST_F(CalibratedStructures, RankBranchesByWhatTheyEndWith) {
  GraphBuilder b({8});
  std::string v = "x";
  const std::vector<std::string> names = {"b1", "b2", "b3", "b4"};
  for (const std::string& name : names) {
    const std::string hidden = b.Add("Relu", {b.Linear(absl::StrCat(name, ".up"), v, 8, 10)});
    v = b.Add("Add", {v, b.Linear(absl::StrCat(name, ".down"), hidden, 10, 8)});
  }
  JobSpec spec = Job(b.Finish(b.Linear("head", v, 8, 3)), WandaOptions(), Structure::kBranches);
  spec.target->protect_first = spec.target->protect_last = 0;
  spec.target->sparsity = 0.5;
  ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter_));
  ASSERT_OK_AND_ASSIGN(const Calibration found, Calibrated(spec, job));
  const absl::Span<const float> examples = job.data.train.inputs[0].values.span<float>();
  std::vector<double> x(examples.begin(), examples.end());
  std::vector<double> scores;
  for (const std::string& name : names) {
    const std::vector<double> hidden = LinearAndRelu(x, 8, job.graph, name + ".up");
    const std::vector<double> squares = MeanSquares(hidden, 10);
    const absl::Span<const float> w =
        job.graph.FindInitializer(name + ".down.weight")->value.span<float>();
    const absl::Span<const float> bias =
        job.graph.FindInitializer(name + ".down.bias")->value.span<float>();
    double score = 0;
    for (size_t i = 0; i < w.size(); ++i) score += std::pow(w[i], 2) * squares[i % 10];
    scores.push_back(score);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] += bias[i % 8];
      for (size_t k = 0; k < 10; ++k) x[i] += w[i % 8 * 10 + k] * hidden[i / 8 * 10 + k];
    }
  }
  ASSERT_EQ(found.supports.size(), 1u);
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(found.supports[0][i], scores[i] > sorted[1] ? 1 : 0) << names[i];
    const Tensor& left = found.weights.at(names[i] + ".down.weight");
    EXPECT_EQ(left.data<float>()[0] == 0, scores[i] <= sorted[1]) << names[i];
  }
}

TEST_F(CalibratedStructures, CountWhatMeasuringTheReadersOfUnitsTakes) {
  int threads = 1;
  const auto bytes = [&](MethodOptions method) {
    JobSpec spec = Job(MlpGraph(), std::move(method), Structure::kNeurons);
    spec.threads = threads;
    return LoadJob(spec, reporter_)->memory.calibration;
  };
  // fc2, of 32 inputs and 24 outputs, is the largest of the two: its weights in double, twice; with
  // the moments three times at the least.
  EXPECT_GT(bytes(WandaOptions()), 2 * 8 * 32 * 24);
  EXPECT_GT(bytes(SparseGptOptions()), 2 * 8 * 32 * 24 + 3 * 8 * 32 * 32);
  EXPECT_GT(bytes(GroupObsOptions()), bytes(SparseGptOptions()));
  // All outputs are one column of blocks, for one thread.
  const int64_t alone = bytes(GroupObsOptions());
  threads = 16;
  EXPECT_EQ(bytes(GroupObsOptions()), alone);
}

// However few inputs a chunk has, and whatever the share of it that is to stay.
TEST_F(CalibratedStructures, CompareAllUnitsOfALayer) {
  std::vector<std::vector<Support>> supports;
  for (const int64_t chunk : {1, 1000}) {
    SparseGptOptions method;
    method.chunk_inputs = chunk;
    const JobSpec spec = Job(MlpGraph(), method, Structure::kNeurons);
    ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter_));
    ASSERT_OK_AND_ASSIGN(const Calibration found, Calibrated(spec, job));
    supports.push_back(found.supports);
  }
  EXPECT_EQ(supports[0], supports[1]);
}

// "all" reads the units of "left" and of "right", which are two groups.
TEST_F(CalibratedStructures, PruneAReaderForEachGroupThatItReads) {
  GraphBuilder b({8});
  const std::string left = b.Add("Relu", {b.Linear("left", "x", 8, 6)});
  const std::string right = b.Add("Relu", {b.Linear("right", "x", 8, 4)});
  const std::string both = b.Add("Concat", {left, right}, {{"axis", int64_t{1}}});
  JobSpec spec = Job(b.Finish(b.Linear("all", both, 10, 3)), WandaOptions(), Structure::kNeurons);
  spec.target->sparsity = 0.5;
  ASSERT_OK_AND_ASSIGN(const LoadedJob job, LoadJob(spec, reporter_));
  ASSERT_OK_AND_ASSIGN(const Calibration found, Calibrated(spec, job));
  ASSERT_EQ(found.supports.size(), 2u);
  const Tensor& weights = found.weights.at("all.weight");
  for (int64_t i = 0; i < 10; ++i) {
    const uint8_t kept = i < 6 ? found.supports[0][i] : found.supports[1][i - 6];
    EXPECT_EQ(weights.data<float>()[i] != 0, kept != 0) << i;
  }
}

}  // namespace
}  // namespace topiary
