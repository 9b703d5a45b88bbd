// Whole jobs that prune channels, neurons and heads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/running_jobs_test_util.h"
#include "worker/pipeline/structured_jobs_test_util.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MagnitudeOptions Schedule(MagnitudeOptions::Schedule schedule) {
  MagnitudeOptions options;
  options.schedule = schedule;
  options.at_fraction = 0.5;
  options.rounds = 4;
  return options;
}

SequentialAttentionPlusPlusOptions Cycles() {
  SequentialAttentionPlusPlusOptions options;
  options.phases = PhasePreset("paper_imagenet").value();
  return options;
}

struct MethodCase {
  std::string name;
  MethodOptions method;
};

void PrintTo(const MethodCase& method, std::ostream* out) { *out << method.name; }

std::vector<MethodCase> Methods() {
  using Magnitude = MagnitudeOptions::Schedule;
  return {{"ac_dc", AcDcOptions()},
          {"fisher_attention", FisherAttentionOptions()},
          {"magnitude_gradual", Schedule(Magnitude::kGradual)},
          {"magnitude_iterative", Schedule(Magnitude::kIterative)},
          {"magnitude_one_shot", Schedule(Magnitude::kOneShot)},
          {"movement", MovementOptions()},
          {"random", RandomPruningOptions()},
          {"sequential_attention_pp", SequentialAttentionPlusPlusOptions()},
          {"sequential_attention_pp_cycles", Cycles()},
          {"snip", SnipOptions{7}}};
}

std::vector<MethodCase> CalibratedMethods() {
  return {{"group_obs", GroupObsOptions()},
          {"sparsegpt", SparseGptOptions()},
          {"wanda", WandaOptions()}};
}

std::vector<MethodCase> MethodsForAll() {
  std::vector<MethodCase> methods = Methods();
  methods.push_back({"wanda", WandaOptions()});
  return methods;
}

std::vector<MethodCase> MethodsForNeurons() {
  std::vector<MethodCase> methods = Methods();
  for (const MethodCase& method : CalibratedMethods()) methods.push_back(method);
  return methods;
}

class StructuredJobs : public RunningJobs {
 protected:
  Graph ShrunkOf(const JobOutcome& outcome) {
    const JobFile* file = Find(outcome, JobFile::Kind::kShrunkOnnx);
    EXPECT_NE(file, nullptr);
    if (file == nullptr) return Graph();
    auto graph = ImportOnnx(file->path);
    EXPECT_OK(graph.status());
    return graph.ok() ? *std::move(graph) : Graph();
  }
  static Shape ShapeOf(const Graph& graph, const std::string& weight) {
    const Initializer* initializer = graph.FindInitializer(weight);
    return initializer == nullptr ? Shape() : initializer->value.shape();
  }

  std::map<std::string, double> Evaluated(JobSpec spec, const std::string& model) {
    spec.method = EvaluateSpec();
    spec.target.reset();
    spec.outputs.onnx = false;
    spec.model_path = model;
    auto outcome = Run(spec);
    EXPECT_OK(outcome.status());
    return outcome.ok() ? outcome->given_metrics : std::map<std::string, double>();
  }
};

class EveryStructuredMethod : public StructuredJobs,
                              public testing::WithParamInterface<MethodCase> {};
class EveryMethodForNeurons : public EveryStructuredMethod {};
class EveryCalibratedMethod : public EveryStructuredMethod {};

// fc1 has 32 units, fc2 24: a quarter of each stays, and the job has compared the narrower model
// with the pruned one.
TEST_P(EveryMethodForNeurons, NeuronsGoWithAllThatIsTheirs) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const Graph shrunk = ShrunkOf(outcome);
  EXPECT_EQ(ShapeOf(shrunk, "fc1.weight"), Shape({8, 8}));
  EXPECT_EQ(ShapeOf(shrunk, "fc2.weight"), Shape({6, 8}));
  EXPECT_EQ(ShapeOf(shrunk, "head.weight"), Shape({3, 6}));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["sparsity"]["structure"], "neurons");
  EXPECT_FALSE(report["sparsity"].contains("block"));
  ASSERT_EQ(report["groups"].size(), 3u);
  EXPECT_EQ(report["groups"][0]["name"], "fc1.weight");
  EXPECT_EQ(report["groups"][0]["candidates"], 32);
  EXPECT_EQ(report["groups"][0]["live"], 8);
  EXPECT_EQ(report["groups"][0]["weights"], nlohmann::json({"fc2.weight", "fc1.weight"}));
  EXPECT_EQ(report["groups"][1]["live"], 6);
  EXPECT_THAT(report["groups"][2]["dense_reason"].get<std::string>(), HasSubstr("must stay"));
  EXPECT_THAT(report["warnings"], IsEmpty());
  // What is left of 8 x 32, 32 x 24 and 24 x 3.
  const double kept = 8 * 8 + 8 * 6 + 6 * 3;
  EXPECT_NEAR(*outcome.sparsity_reached, 1 - kept / (8 * 32 + 32 * 24 + 24 * 3), 1e-12);
  EXPECT_EQ(report["history"].back()["sparsity"], *outcome.sparsity_reached);
}

TEST_P(EveryStructuredMethod, ChannelsGiveTheSameBitsTwiceAndFromAnyCheckpoint) {
  JobSpec spec = StructuredJob(folder_, ConvGraph(), Structure::kChannels);
  spec.method = GetParam().method;
  spec.task.optimizer.kind = OptimizerSpec::Kind::kAdam;
  spec.task.learning_rate.base = 0.005;
  spec.task.optimizer.weight_decay = 0.01;
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  const Graph shrunk = ShrunkOf(straight);
  EXPECT_EQ(ShapeOf(shrunk, "c1.weight"), Shape({2, 1, 3, 3}));
  EXPECT_EQ(ShapeOf(shrunk, "c2.weight"), Shape({2, 2, 3, 3}));
  EXPECT_EQ(ShapeOf(shrunk, "head.weight"), Shape({3, 2}));
  for (const int64_t step : {0, 7, 20, 29}) {
    ASSERT_OK_AND_ASSIGN(const JobOutcome again,
                         step == 0 ? Run(spec) : Resume(spec, observer, step));
    EXPECT_EQ(DigestOf(again, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
    EXPECT_EQ(DigestOf(again, JobFile::Kind::kShrunkOnnx),
              DigestOf(straight, JobFile::Kind::kShrunkOnnx));
    EXPECT_EQ(ComparableReport(again), ComparableReport(straight)) << "from step " << step;
  }
}

// Without a step of training: what is left measures as the narrower model does.
TEST_P(EveryCalibratedMethod, NeuronsGoWithoutTraining) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = GetParam().method;
  spec.task.epochs = 0;
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  EXPECT_EQ(ShapeOf(ShrunkOf(straight), "fc2.weight"), Shape({6, 8}));
  const auto shrunk = Evaluated(spec, Find(straight, JobFile::Kind::kShrunkOnnx)->path);
  ASSERT_FALSE(straight.pruned_metrics.empty());
  for (const auto& [name, value] : straight.pruned_metrics) {
    EXPECT_NEAR(shrunk.at(name), value, 1e-5) << name;
  }
  RecordingObserver quiet;
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Run(spec, &quiet, observer.CheckpointPath(0)));
  for (const JobProgress& progress : quiet.progress) EXPECT_NE(progress.phase, "calibrate");
  EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight));
}

// Trained with what is left, to the same bits from any checkpoint.
TEST_P(EveryCalibratedMethod, NeuronsThatAreGoneStaySo) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = GetParam().method;
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  for (const int64_t step : {0, 13}) {
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Resume(spec, observer, step));
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  }
}

// A size as asked for, foretold by a dry run, with a teacher to learn from afterwards.
TEST_P(EveryCalibratedMethod, NeuronsGoToASizeAndLearnFromTheModelGiven) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = GetParam().method;
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kFlops, 0.4, 0};
  spec.task.distillation = DistillationSpec();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json size = ReportOf(outcome)["size"];
  EXPECT_LE(size["flops"]["reached"], size["flops"]["requested"]);
  EXPECT_GE(size["flops"]["reached"].get<double>(), 0.3 * size["flops"]["dense"].get<double>());
  spec.dry_run = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome foretold, Run(spec));
  EXPECT_EQ(ReportOf(foretold)["size"], size);
}

std::string NameOf(const testing::TestParamInfo<MethodCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Methods, EveryStructuredMethod, testing::ValuesIn(MethodsForAll()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Methods, EveryMethodForNeurons, testing::ValuesIn(MethodsForNeurons()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Methods, EveryCalibratedMethod, testing::ValuesIn(CalibratedMethods()),
                         NameOf);

// The attention is in the weights that read a unit, and nowhere else.
TEST_F(StructuredJobs, WhatWasTrainedIsWhatIsExported) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  SequentialAttentionPlusPlusOptions options;
  options.logits_learning_rate_multiplier = 100;
  spec.method = MethodOptions(options);
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const auto pruned = Evaluated(spec, Find(outcome, JobFile::Kind::kOnnx)->path);
  const auto shrunk = Evaluated(spec, Find(outcome, JobFile::Kind::kShrunkOnnx)->path);
  ASSERT_FALSE(outcome.pruned_metrics.empty());
  for (const auto& [name, value] : outcome.pruned_metrics) {
    EXPECT_EQ(pruned.at(name), value) << name;
    EXPECT_NEAR(shrunk.at(name), value, 1e-5) << name;
  }
}

// Timed beside the model that was pruned.
TEST_F(StructuredJobs, TheNarrowerModelIsTimedToo) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = MethodOptions(MagnitudeOptions());
  spec.outputs.latency_batches = {1};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json latency = ReportOf(outcome)["latency"][0];
  EXPECT_GT(latency["shrunk"]["p50_seconds"], 0);
  EXPECT_GT(latency["shrunk_speedup"], 0);
  EXPECT_FALSE(latency.contains("block_sparse"));
}

// 8 inputs to 6, four residual branches of two linear layers each, 3 classes.
Graph ResidualGraph() {
  GraphBuilder b({8});
  std::string v = b.Linear("stem", "x", 8, 6);
  for (const std::string block : {"b1", "b2", "b3", "b4"}) {
    const std::string hidden = b.Add("Relu", {b.Linear(absl::StrCat(block, ".up"), v, 6, 10)});
    v = b.Add("Add", {v, b.Linear(absl::StrCat(block, ".down"), hidden, 10, 6)});
  }
  return b.Finish(b.Linear("head", v, 6, 3));
}

// One softmax over the branches that may go; those that go leave nothing behind.
TEST_P(EveryStructuredMethod, BranchesGoWithTheirNodes) {
  JobSpec spec = StructuredJob(folder_, ResidualGraph(), Structure::kBranches);
  spec.method = GetParam().method;
  spec.target->sparsity = 0.5;
  spec.task.learning_rate.base = 0.01;
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  const nlohmann::json report = ReportOf(outcome);
  ASSERT_EQ(report["groups"].size(), 3u);
  EXPECT_EQ(report["groups"][0]["name"], "branches");
  EXPECT_EQ(report["groups"][0]["candidates"], 2);
  EXPECT_EQ(report["groups"][0]["live"], 1);
  EXPECT_THAT(report["groups"][1]["dense_reason"].get<std::string>(), HasSubstr("protect_first"));
  const std::string pruned = report["groups"][0]["pruned"][0];
  const Graph shrunk = ShrunkOf(outcome);
  EXPECT_EQ(shrunk.FindInitializer(pruned), nullptr);
  const auto sums = std::count_if(shrunk.nodes.begin(), shrunk.nodes.end(),
                                  [](const Node& node) { return node.op_type == "Add"; });
  EXPECT_EQ(sums, 3);
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Resume(spec, observer, 20));
  EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(outcome, JobFile::Kind::kOnnx));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(outcome));
}

TEST_F(StructuredJobs, GroupsCompeteWhereTheBudgetIsGlobal) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = MethodOptions(MagnitudeOptions());
  spec.target->budget = BudgetKind::kGlobal;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json groups = ReportOf(outcome)["groups"];
  const int64_t first = groups[0]["live"];
  const int64_t second = groups[1]["live"];
  EXPECT_EQ(first + second, (32 + 24) / 4);
  EXPECT_NE(first, 8);
}

TEST_F(StructuredJobs, OneCandidateOfAGroupStays) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = MethodOptions(MagnitudeOptions());
  spec.target->sparsity = 0.999;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_EQ(ShapeOf(ShrunkOf(outcome), "fc2.weight"), Shape({1, 1}));
  EXPECT_THAT(ReportOf(outcome)["warnings"],
              ElementsAre(HasSubstr("'fc1.weight' keeps 1 of 32 candidates"),
                          HasSubstr("'fc2.weight' keeps 1 of 24 candidates")));
}

TEST_F(StructuredJobs, ADryRunSaysWhatWouldBePruned) {
  JobSpec spec = StructuredJob(folder_, ConvGraph(), Structure::kChannels);
  spec.dry_run = true;
  spec.outputs.latency_batches = {1};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_EQ(report["groups"][0]["name"], "c1.weight");
  EXPECT_EQ(report["groups"][0]["live"], 2);
  const double kept = 2 * 9 + 2 * 2 * 9 + 2 * 3;
  EXPECT_NEAR(*outcome.sparsity_reached, 1 - kept / (8 * 9 + 8 * 8 * 9 + 8 * 3), 1e-12);
  // As of the job itself: candidates are alike.
  EXPECT_GT(report["latency"][0]["shrunk"]["p50_seconds"], 0);
  EXPECT_TRUE(report["costs"].contains("training_estimate_seconds"));
  EXPECT_FALSE(report["shrunk"].contains("file"));
  spec.dry_run = false;
  ASSERT_OK_AND_ASSIGN(const JobOutcome trained, Run(spec));
  EXPECT_EQ(report["size"], ReportOf(trained)["size"]);
  EXPECT_EQ(report["shrunk"]["bytes"], ReportOf(trained)["shrunk"]["bytes"]);
}

// Which of them was drawn is no choice of the job's.
TEST_F(StructuredJobs, ADryRunNamesNoBranch) {
  JobSpec spec = StructuredJob(folder_, ResidualGraph(), Structure::kBranches);
  spec.target->sparsity = 0.5;
  spec.dry_run = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json group = ReportOf(outcome)["groups"][0];
  EXPECT_EQ(group["live"], 1);
  EXPECT_FALSE(group.contains("pruned"));
  ASSERT_TRUE(ReportOf(outcome).contains("shrunk"));
  EXPECT_THAT(ReportOf(outcome)["shrunk"]["tensors"], IsEmpty());
}

// Before any memory is taken for them.
TEST_F(StructuredJobs, CandidatesThatDoNotFitTheMemoryAreNotLookedFor) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.memory_limit_bytes = 20000;  // Enough for the model.
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kResourceExhausted,
                                           HasSubstr("target.structure: finding the neurons")));
}

TEST_F(StructuredJobs, AJobThatWouldPruneNothingIsRefused) {
  JobSpec spec = StructuredJob(folder_, ResidualGraph(), Structure::kBranches);
  spec.target->sparsity = 0.2;  // Of two.
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rounds to none")));
}

TEST_F(StructuredJobs, MethodsForBlocksAreRefused) {
  for (const MethodOptions& method :
       {MethodOptions(RigLOptions()), MethodOptions(GroupLassoOptions()),
        MethodOptions(IhtOptions()), MethodOptions(PowerPropagationOptions())}) {
    JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
    spec.method = method;
    EXPECT_THAT(
        Run(spec).status(),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr(absl::StrCat("target.structure: method ", RegisteredName(method))),
                       HasSubstr("use one of ac_dc, fisher_attention, group_obs, magnitude, "
                                 "movement, random, sequential_attention_pp, snip, sparsegpt, "
                                 "wanda"))));
  }
}

}  // namespace
}  // namespace topiary
