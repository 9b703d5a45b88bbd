// Whole jobs whose budgets settle how far each layer is pruned before anything trains.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/running_jobs_test_util.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/sensitivity.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using Amount = SizeBudgetSpec::Amount;
using nlohmann::json;

// 44 inputs, 3 classes; blocks of 8 x 8 are ragged in the first and the last layer.
Graph SmallMlp() {
  GraphBuilder b({44});
  std::string v = b.Add("Relu", {b.Linear("fc1", "x", 44, 96)});
  v = b.Add("Relu", {b.Linear("fc2", v, 96, 64)});
  v = b.Add("Relu", {b.Linear("fc3", v, 64, 64)});
  return b.Finish(b.Linear("head", v, 64, 3));
}

// A convolution at 36 positions, one at 9, and a product.
Graph SmallConvolutions() {
  GraphBuilder b({4, 6, 6});
  const std::vector<Attribute> first = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  const std::vector<Attribute> second = {{"pads", std::vector<int64_t>{1, 1, 1, 1}},
                                         {"strides", std::vector<int64_t>{2, 2}}};
  std::string v =
      b.Add("Relu", {b.Add("Conv", {"x", b.Weight("c1", Shape({16, 4, 3, 3}), 0.2F)}, first)});
  v = b.Add("Relu", {b.Add("Conv", {v, b.Weight("c2", Shape({24, 16, 3, 3}), 0.1F)}, second)});
  v = b.Add("Flatten", {b.Add("GlobalAveragePool", {v})});
  return b.Finish(b.Linear("head", v, 24, 3));
}

class BudgetJobs : public RunningJobs {
 protected:
  JobSpec Job(const Graph& graph, BudgetKind budget) const {
    JobSpec spec = SmallJob(folder_, graph);
    spec.task.epochs = 1;
    MagnitudeOptions magnitude;
    magnitude.begin_fraction = 0;
    magnitude.end_fraction = 0.5;
    spec.method = magnitude;
    spec.target->block_rows = 8;
    spec.target->block_cols = 8;
    spec.target->min_blocks = 10;
    spec.target->budget = budget;
    spec.outputs.latency_batches.clear();
    return spec;
  }
  JobSpec Job(const Graph& graph, BudgetKind budget, Amount amount, double ratio) const {
    JobSpec spec = Job(graph, budget);
    spec.target->size = SizeBudgetSpec{amount, ratio, 0};
    return spec;
  }
  static json LayerOf(const json& report, const std::string& name) {
    for (const json& layer : report["layers"]) {
      if (layer["name"] == name) return layer;
    }
    return {};
  }
};

struct BudgetCase {
  const char* name;
  BudgetKind budget;
  Amount amount;
  const char* field;
  double ratio;
  double slack;  // Of the dense amount: a block of each layer.
};

class SizeBudgets : public BudgetJobs, public testing::WithParamInterface<BudgetCase> {};

TEST_P(SizeBudgets, AreMet) {
  const BudgetCase& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(Job(SmallMlp(), c.budget, c.amount, c.ratio)));
  const json report = ReportOf(outcome);
  const json& size = report["size"][c.field];
  const double dense = size["dense"];
  EXPECT_EQ(size["requested_ratio"], c.ratio);
  EXPECT_EQ(size["requested"], static_cast<int64_t>(c.ratio * dense));
  EXPECT_LE(size["reached"], size["requested"]);
  EXPECT_GE(size["reached"], size["requested"].get<double>() - c.slack * dense);
  EXPECT_FALSE(report["sparsity"].contains("requested"));
  EXPECT_FALSE(outcome.sparsity_requested.has_value());
  // As counted in what the job leaves behind.
  EXPECT_EQ(report["size"]["bytes"]["reached"],
            std::filesystem::file_size(Find(outcome, JobFile::Kind::kBlockSparse)->path));
  ASSERT_OK_AND_ASSIGN(const Graph graph, ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path));
  int64_t parameters = 0;
  for (const Initializer& initializer : graph.initializers) {
    parameters += initializer.value.element_count();
  }
  for (const json& layer : report["layers"]) {
    parameters -= layer["zero_elements"].get<int64_t>();
    // Every product is of a vector.
    EXPECT_EQ(layer["dense_flops"], 2 * layer["elements"].get<int64_t>());
    EXPECT_EQ(layer["flops"],
              2 * (layer["elements"].get<int64_t>() - layer["zero_elements"].get<int64_t>()));
  }
  EXPECT_EQ(report["size"]["parameters"]["reached"], parameters);
}

TEST_P(SizeBudgets, AreForetoldByADryRun) {
  const BudgetCase& c = GetParam();
  JobSpec spec = Job(SmallMlp(), c.budget, c.amount, c.ratio);
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  spec.dry_run = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome foretold, Run(spec));
  const json report = ReportOf(outcome), dry = ReportOf(foretold);
  EXPECT_EQ(dry["size"][c.field]["requested"], report["size"][c.field]["requested"]);
  EXPECT_EQ(dry["size"]["flops"]["dense"], report["size"]["flops"]["dense"]);
  EXPECT_GT(dry["costs"]["memory_estimate_bytes"], 0);
  EXPECT_TRUE(dry["costs"].contains("training_estimate_seconds"));
  EXPECT_EQ(LayerOf(dry, "head.weight")["dense_reason"], "8 blocks, fewer than 10");
  if (c.budget == BudgetKind::kGlobal) return;  // Layers compete: who wins is not known before.
  EXPECT_EQ(dry["size"]["bytes"], report["size"]["bytes"]);
  for (size_t i = 0; i < report["layers"].size(); ++i) {
    for (const char* figure : {"pruned", "blocks_live", "blocks_total", "stored_bytes"}) {
      EXPECT_EQ(dry["layers"][i][figure], report["layers"][i][figure]) << report["layers"][i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SizeBudgets,
    testing::Values(
        BudgetCase{"ParametersUniform", BudgetKind::kUniform, Amount::kParameters, "parameters",
                   0.4, 0.02},
        BudgetCase{"ParametersGlobal", BudgetKind::kGlobal, Amount::kParameters, "parameters", 0.4,
                   0.06},
        BudgetCase{"ParametersErk", BudgetKind::kErk, Amount::kParameters, "parameters", 0.3, 0.02},
        BudgetCase{"BytesUniform", BudgetKind::kUniform, Amount::kBytes, "bytes", 0.5, 0.02},
        BudgetCase{"BytesGlobal", BudgetKind::kGlobal, Amount::kBytes, "bytes", 0.5, 0.02},
        BudgetCase{"BytesErk", BudgetKind::kErk, Amount::kBytes, "bytes", 0.3, 0.02},
        BudgetCase{"FlopsUniform", BudgetKind::kUniform, Amount::kFlops, "flops", 0.25, 0.02},
        BudgetCase{"FlopsErk", BudgetKind::kErk, Amount::kFlops, "flops", 0.6, 0.02}),
    [](const auto& info) { return info.param.name; });

TEST_F(BudgetJobs, OperationsOfConvolutionsCountPositions) {
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome,
                       Run(Job(SmallConvolutions(), BudgetKind::kUniform, Amount::kFlops, 0.5)));
  const json report = ReportOf(outcome);
  EXPECT_EQ(LayerOf(report, "c1")["dense_flops"], 2 * 16 * 36 * 36);
  EXPECT_EQ(LayerOf(report, "c2")["dense_flops"], 2 * 24 * 9 * 144);
  const double dense = 2 * (16 * 36 * 36 + 24 * 9 * 144 + 24 * 3);
  EXPECT_EQ(report["size"]["flops"]["dense"], dense);
  EXPECT_LE(report["size"]["flops"]["reached"], 0.5 * dense);
  EXPECT_GE(report["size"]["flops"]["reached"], 0.4 * dense);
}

TEST_F(BudgetJobs, ErkPrunesWideLayersFurther) {
  JobSpec spec = Job(SmallMlp(), BudgetKind::kErk);
  spec.target->sparsity = 0.7;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  EXPECT_EQ(report["sparsity"]["budget"], "erk");
  EXPECT_EQ(report["sparsity"]["requested"], 0.7);
  // Blocks: 6 x 12, 12 x 8 and 8 x 8; 30 % of 232 are 70. Shares: 140 / 4224, 160 / 6144, 1 / 32.
  const double e = 70 / (72 * 140.0 / 4224 + 96 * 160.0 / 6144 + 64 / 32.0);
  EXPECT_NEAR(LayerOf(report, "fc1.weight")["blocks_live"], e * 72 * 140.0 / 4224, 1);
  EXPECT_NEAR(LayerOf(report, "fc2.weight")["blocks_live"], e * 96 * 160.0 / 6144, 1);
  EXPECT_NEAR(LayerOf(report, "fc3.weight")["blocks_live"], e * 64 / 32.0, 1);
  EXPECT_EQ(LayerOf(report, "head.weight")["dense_reason"], "8 blocks, fewer than 10");
}

class LayerBounds : public BudgetJobs, public testing::WithParamInterface<BudgetKind> {};

TEST_P(LayerBounds, HoldAndLeaveTheRestToTheOthers) {
  JobSpec spec = Job(SmallMlp(), GetParam());
  spec.target->sparsity = 0.75;
  spec.target->layer_targets = {{"fc1*", 0.5, 0.5}, {"fc3*", 0.1, 0.75}};
  spec.target->sensitivity.sparsities = {0.5, 0.75, 0.9};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  int64_t live = 0;
  for (const char* name : {"fc1.weight", "fc2.weight", "fc3.weight"}) {
    live += LayerOf(report, name)["blocks_live"].get<int64_t>();
  }
  EXPECT_EQ(LayerOf(report, "fc1.weight")["blocks_live"], 36);
  EXPECT_GE(LayerOf(report, "fc3.weight")["blocks_live"], 16);
  EXPECT_LE(LayerOf(report, "fc3.weight")["blocks_live"], 58);
  EXPECT_EQ(live, 58);
}

INSTANTIATE_TEST_SUITE_P(Budgets, LayerBounds,
                         testing::Values(BudgetKind::kUniform, BudgetKind::kGlobal,
                                         BudgetKind::kErk, BudgetKind::kSensitivity),
                         [](const auto& info) {
                           switch (info.param) {
                             case BudgetKind::kUniform:
                               return "Uniform";
                             case BudgetKind::kGlobal:
                               return "Global";
                             case BudgetKind::kErk:
                               return "Erk";
                             case BudgetKind::kSensitivity:
                               return "Sensitivity";
                           }
                           return "";
                         });

// Each chooses in a way of its own.
TEST_F(BudgetJobs, BoundsHoldUnderGlobalWhicheverTheMethod) {
  const std::vector<MethodSpec> methods = {IhtOptions(), RigLOptions{0.5, 3, 0.75, 0},
                                           SequentialAttentionPlusPlusOptions(), AcDcOptions()};
  for (const MethodSpec& method : methods) {
    SCOPED_TRACE(MethodName(method));
    JobSpec spec = Job(SmallMlp(), BudgetKind::kGlobal);
    spec.task.epochs = 3;
    spec.method = method;
    spec.target->sparsity = 0.75;
    spec.target->layer_targets = {{"fc1*", 0.5, 0.5}, {"fc3*", 0.1, 0.75}};
    ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
    const json report = ReportOf(outcome);
    EXPECT_EQ(LayerOf(report, "fc1.weight")["blocks_live"], 36);
    EXPECT_GE(LayerOf(report, "fc3.weight")["blocks_live"], 16);
    EXPECT_LE(LayerOf(report, "fc3.weight")["blocks_live"], 58);
    int64_t live = 0;
    for (const json& layer : report["layers"]) {
      if (layer["pruned"]) live += layer["blocks_live"].get<int64_t>();
    }
    EXPECT_EQ(live, 58);
  }
}

TEST_F(BudgetJobs, BoundsHoldUnderGlobalWithASize) {
  JobSpec spec = Job(SmallMlp(), BudgetKind::kGlobal, Amount::kParameters, 0.4);
  spec.target->layer_targets = {{"fc1*", 0.75, 0.75}, {"fc3*", 0.1, 0.25}};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  EXPECT_EQ(LayerOf(report, "fc1.weight")["blocks_live"], 18);
  EXPECT_GE(LayerOf(report, "fc3.weight")["blocks_live"], 48);
  EXPECT_LE(LayerOf(report, "fc3.weight")["blocks_live"], 58);
  const json& size = report["size"]["parameters"];
  EXPECT_LE(size["reached"], size["requested"]);
  EXPECT_GE(size["reached"], size["requested"].get<double>() - 8 * 8 - 18 * 32);
}

TEST_F(BudgetJobs, WhatCannotBeMetFailsBeforeAnythingTrainsWithFigures) {
  RecordingObserver observer;
  JobSpec spec = Job(SmallMlp(), BudgetKind::kUniform, Amount::kParameters, 0.01);
  // 419 numbers are in biases and the head; a block of each other layer has 64.
  EXPECT_THAT(Run(spec, &observer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("spec.target.parameters: of 14883 parameters"),
                             HasSubstr("148 are to be left"), HasSubstr("419 in what is not"),
                             HasSubstr("192 in what is pruned"))));
  spec.target->size = SizeBudgetSpec{Amount::kBytes, std::nullopt, 1 << 20};
  EXPECT_THAT(Run(spec, &observer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nothing to prune")));
  spec = Job(SmallMlp(), BudgetKind::kUniform);
  spec.target->layer_targets = {{"*", 0, 0.5}};
  EXPECT_THAT(Run(spec, &observer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("of 232 blocks"), HasSubstr("58 are to be left"),
                             HasSubstr("116 at the least"))));
  spec.target->layer_targets = {{"*", 0.9, 0.9}};
  EXPECT_THAT(Run(spec, &observer).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("allow 23 at the most")));
  EXPECT_THAT(observer.checkpoint_steps, IsEmpty());
}

class SensitivityJobs : public BudgetJobs {
 protected:
  // A job on a model that has been trained.
  JobSpec SensitivityJob() {
    JobSpec dense = Job(SmallMlp(), BudgetKind::kUniform);
    dense.method = DenseOptions();
    dense.target.reset();
    dense.outputs.block_sparse = false;
    const absl::StatusOr<JobOutcome> outcome = Run(dense);
    EXPECT_OK(outcome.status());
    JobSpec spec = Job(SmallMlp(), BudgetKind::kSensitivity);
    spec.model_path = Find(*outcome, JobFile::Kind::kOnnx)->path;
    spec.target->sparsity = 0.8;
    spec.target->sensitivity.sparsities = {0.5, 0.75, 0.9};
    return spec;
  }
  // As a job that evaluates the model at `path` on the training examples measures it.
  double TrainingLoss(const JobSpec& spec, const std::string& path) {
    JobSpec evaluate = spec;
    evaluate.model_path = path;
    evaluate.method = EvaluateSpec();
    evaluate.target.reset();
    evaluate.data.evaluation = evaluate.data.train;
    const absl::StatusOr<JobOutcome> outcome = Run(evaluate);
    EXPECT_OK(outcome.status());
    return outcome->given_metrics.at("log_loss");
  }
  static SensitivityCurve CurveOf(const json& layer) {
    SensitivityCurve curve;
    const json& points = layer["sensitivity"];
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
      const double kept =
          (1 - (*point)["sparsity"].get<double>()) * layer["blocks_total"].get<double>();
      curve.push_back({std::llround(kept), (*point)["loss"]});
    }
    return curve;
  }
};

TEST_F(SensitivityJobs, CurvesAreWhatPruningOneLayerDoes) {
  const JobSpec spec = SensitivityJob();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  EXPECT_EQ(report["sparsity"]["budget"], "sensitivity");
  EXPECT_EQ(report["sparsity"]["sensitivity_examples"], 96);
  EXPECT_FALSE(LayerOf(report, "head.weight").contains("sensitivity"));
  const SensitivityCurve curve = CurveOf(LayerOf(report, "fc2.weight"));
  EXPECT_THAT(curve, testing::SizeIs(5));
  ASSERT_OK_AND_ASSIGN(Graph graph, ImportOnnx(spec.model_path));
  Initializer* weight = graph.FindInitializer("fc2.weight");
  const Tensor given = weight->value.Clone();
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    if (layer.weight != "fc2.weight") continue;
    const BlockPartition partition = BlockPartition::Create(layer, {8, 8}).value();
    const std::vector<float> norms = BlockNorms(partition, given.span<float>());
    for (const SensitivityPoint& point : curve) {
      weight->value = given.Clone();
      partition.ZeroPruned(SelectTopBlocks(norms, {}, point.kept), weight->value.span<float>());
      const std::string path = folder_ + "/pruned.onnx";
      ASSERT_OK(ExportOnnx(graph, path));
      EXPECT_EQ(TrainingLoss(spec, path), point.loss) << point.kept;
    }
  }
}

TEST_F(SensitivityJobs, ArePredictedToLoseLessThanUniformOnes) {
  const JobSpec spec = SensitivityJob();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  const auto loss_at = [](const SensitivityCurve& hull, double kept) {
    size_t i = 0;
    while (i + 2 < hull.size() && static_cast<double>(hull[i + 1].kept) < kept) ++i;
    const double part = (kept - static_cast<double>(hull[i].kept)) /
                        static_cast<double>(hull[i + 1].kept - hull[i].kept);
    return hull[i].loss + part * (hull[i + 1].loss - hull[i].loss);
  };
  double shared = 0, uniform = 0;
  int64_t live = 0;
  for (const char* name : {"fc1.weight", "fc2.weight", "fc3.weight"}) {
    const json layer = LayerOf(report, name);
    const SensitivityCurve hull = Convexified(CurveOf(layer));
    live += layer["blocks_live"].get<int64_t>();
    shared += loss_at(hull, layer["blocks_live"]);
    uniform += loss_at(hull, 0.2 * layer["blocks_total"].get<double>());
  }
  EXPECT_LE(live, 46);  // 20 % of 232
  EXPECT_GE(live, 44);
  EXPECT_LT(shared, uniform);
}

TEST_F(SensitivityJobs, ALaterAttemptHasTheCurvesOfTheFirst) {
  JobSpec spec = SensitivityJob();
  spec.target->sensitivity.examples = 50;
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(3)));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
  EXPECT_EQ(ReportOf(resumed)["sparsity"]["sensitivity_examples"], 50);
}

// All are read where they lie.
TEST_F(SensitivityJobs, CopiesOfExamplesAreInTheEstimateOfMemory) {
  JobSpec spec = SensitivityJob();
  spec.dry_run = true;
  const auto estimate = [&](int64_t examples) -> int64_t {
    spec.target->sensitivity.examples = examples;
    const absl::StatusOr<JobOutcome> outcome = Run(spec);
    EXPECT_OK(outcome.status());
    return ReportOf(*outcome)["costs"]["memory_estimate_bytes"];
  };
  const int64_t without = estimate(1'000'000);
  const int64_t of_48 = estimate(48) - without;
  EXPECT_GE(of_48, 48 * 44 * int64_t{sizeof(float)}) << "of 44 numbers each";
  EXPECT_EQ(of_48, 2 * (estimate(24) - without));
}

TEST_F(SensitivityJobs, AModelWithoutALossIsRefused) {
  JobSpec spec = SensitivityJob();
  ASSERT_OK_AND_ASSIGN(Graph graph, ImportOnnx(spec.model_path));
  graph.FindInitializer("head.bias")->value.span<float>()[0] = INFINITY;
  spec.model_path = folder_ + "/overflows.onnx";
  ASSERT_OK(ExportOnnx(graph, spec.model_path));
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("sensitivity cannot be measured")));
}

TEST_F(BudgetJobs, ALaterAttemptKeepsTheAllotment) {
  for (const BudgetKind budget : {BudgetKind::kErk, BudgetKind::kGlobal}) {
    const JobSpec spec = Job(SmallMlp(), budget, Amount::kParameters, 0.4);
    RecordingObserver observer;
    observer.checkpoint_folder = NewTestFolder();
    ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
    for (const int64_t step : {0, 3}) {
      ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint,
                           ReadCheckpoint(observer.CheckpointPath(step)));
      EXPECT_EQ(checkpoint.record.plan->sparsities.empty(), budget == BudgetKind::kGlobal);
      RecordingObserver quiet;
      ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                           Run(spec, &quiet, observer.CheckpointPath(step)));
      EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
    }
  }
}

}  // namespace
}  // namespace topiary
