// Whole jobs that prune structures to a size, or within bounds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "worker/pipeline/model_size.h"
#include "worker/pipeline/running_jobs_test_util.h"
#include "worker/pipeline/structured_jobs_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using BudgetsOfStructures = RunningJobs;

MagnitudeOptions OneShot() {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kOneShot;
  options.at_fraction = 0.5;
  return options;
}

struct SizeCase {
  std::string name;
  SizeBudgetSpec::Amount amount;
  double ratio;
};

void PrintTo(const SizeCase& size, std::ostream* out) { *out << size.name; }

class SizesOfStructures : public BudgetsOfStructures,
                          public testing::WithParamInterface<SizeCase> {};

// Of the file that the job leaves behind, with room for less than one candidate of each group.
TEST_P(SizesOfStructures, AreMet) {
  const SizeCase& c = GetParam();
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = MethodOptions(MagnitudeOptions());
  spec.target->size = SizeBudgetSpec{c.amount, c.ratio, 0};
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  const nlohmann::json report = ReportOf(outcome);
  const nlohmann::json& size = report["size"][c.name];
  const double dense = size["dense"];
  EXPECT_EQ(size["requested"], static_cast<int64_t>(c.ratio * dense));
  EXPECT_LE(size["reached"], size["requested"]);
  // A unit of the first layer and one of the second are 8 + 1 + 24 and 32 + 1 + 3 of 1200 numbers.
  EXPECT_GE(size["reached"], size["requested"].get<double>() - 0.07 * dense);
  const std::string path = Find(outcome, JobFile::Kind::kShrunkOnnx)->path;
  EXPECT_EQ(report["size"]["bytes"]["reached"], std::filesystem::file_size(path));
  EXPECT_EQ(report["size"]["parameters"]["reached"], report["shrunk"]["parameters"]["after"]);
  EXPECT_FALSE(report["sparsity"].contains("requested"));
  ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Resume(spec, observer, 20));
  EXPECT_EQ(ComparableReport(resumed), ComparableReport(outcome));
  spec.dry_run = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome foretold, Run(spec));
  EXPECT_EQ(ReportOf(foretold)["size"], report["size"]);
}

INSTANTIATE_TEST_SUITE_P(Amounts, SizesOfStructures,
                         testing::Values(SizeCase{"parameters", SizeBudgetSpec::Amount::kParameters,
                                                  0.4},
                                         SizeCase{"bytes", SizeBudgetSpec::Amount::kBytes, 0.5},
                                         SizeCase{"flops", SizeBudgetSpec::Amount::kFlops, 0.3}),
                         [](const auto& info) { return info.param.name; });

// The wide branch is 12 times as large as the narrow one; which of them goes is not known before,
// so that the narrow one going must be enough. Both begin with a last layer of zeros, as if they
// were not there.
TEST_F(BudgetsOfStructures, ASizeIsMetWhicheverOfUnequalBranchesGo) {
  GraphBuilder b({8});
  std::string v = b.Linear("stem", "x", 8, 6);
  for (const auto& [block, width] : std::map<std::string, int64_t>{{"b1", 4}, {"b2", 48}}) {
    const std::string hidden = b.Add("Relu", {b.Linear(absl::StrCat(block, ".up"), v, 6, width)});
    v = b.Add("Add", {v, b.Linear(absl::StrCat(block, ".down"), hidden, width, 6)});
  }
  Graph graph = b.Finish(b.Linear("head", v, 6, 3));
  for (const std::string block : {"b1", "b2"}) {
    for (const std::string part : {".down.weight", ".down.bias"}) {
      for (float& x : graph.FindInitializer(absl::StrCat(block, part))->value.span<float>()) x = 0;
    }
  }
  const int64_t all = ParametersOf(graph);
  const int64_t narrow = 2 * 6 * 4 + 4 + 6;
  JobSpec spec = StructuredJob(folder_, graph, Structure::kBranches);
  spec.target->protect_first = spec.target->protect_last = 0;
  spec.target->size =
      SizeBudgetSpec{SizeBudgetSpec::Amount::kParameters, std::nullopt, all - narrow};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_LE(ReportOf(outcome)["size"]["parameters"]["reached"], all - narrow);
  EXPECT_EQ(ReportOf(outcome)["groups"][0]["live"], 1);
  spec.target->size->count = all - narrow - 1;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("has ", all - narrow, " at the least"))));
  spec.target->size->count = all;
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                           HasSubstr("nothing would be pruned")));
}

// Of two branches of the same weights the second is computed for a quarter of the places, so that
// it saves less.
TEST_F(BudgetsOfStructures, OperationsAreMetWhicheverOfBranchesOfTheSameWeightsGo) {
  GraphBuilder b({2, 8, 8});
  const std::vector<Attribute> same = {{"pads", std::vector<int64_t>{1, 1, 1, 1}}};
  const std::vector<Attribute> pool = {{"kernel_shape", std::vector<int64_t>{2, 2}},
                                       {"strides", std::vector<int64_t>{2, 2}}};
  const auto convolution = [&](const std::string& name, const std::string& v, int64_t in) {
    return b.Add("Conv", {v, b.Weight(name, Shape({4, in, 3, 3}), 0.2F)}, same);
  };
  std::string v = convolution("stem", "x", 2);
  v = b.Add("Add", {v, convolution("b1.down", b.Add("Relu", {convolution("b1.up", v, 4)}), 4)});
  v = b.Add("MaxPool", {v}, pool);
  v = b.Add("Add", {v, convolution("b2.down", b.Add("Relu", {convolution("b2.up", v, 4)}), 4)});
  v = b.Add("Flatten", {b.Add("GlobalAveragePool", {v})});
  const Graph graph = b.Finish(b.Linear("head", v, 4, 3));
  JobSpec spec = StructuredJob(folder_, graph, Structure::kBranches);
  spec.target->protect_first = spec.target->protect_last = 0;
  ASSERT_OK_AND_ASSIGN(const int64_t all, AmountOfOnnx(graph, SizeBudgetSpec::Amount::kFlops));
  const int64_t first = 2 * 2 * (4 * 4 * 9) * 64;
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kFlops, std::nullopt, all - first};
  // Without the second one more is left, so that both would have to go, and one must stay.
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr(absl::StrCat("has ", all - first / 4, " at the least"))));
  spec.target->size->count = all - first / 4;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_LE(ReportOf(outcome)["size"]["flops"]["reached"], all - first / 4);
  EXPECT_THAT(ReportOf(outcome)["warnings"], ElementsAre(HasSubstr("keeps 1 of 2 candidates")));
}

// Four groups that are due for a unit at the same share, which has four times 9 numbers.
TEST_F(BudgetsOfStructures, NoRoomForAnotherCandidateIsLeft) {
  GraphBuilder b({8});
  std::string v = b.Linear("stem", "x", 8, 4);
  for (const std::string block : {"b1", "b2", "b3", "b4"}) {
    const std::string hidden = b.Add("Relu", {b.Linear(absl::StrCat(block, ".up"), v, 4, 10)});
    v = b.Add("Add", {v, b.Linear(absl::StrCat(block, ".down"), hidden, 10, 4)});
  }
  const Graph graph = b.Finish(v);
  JobSpec spec = StructuredJob(folder_, graph, Structure::kNeurons);
  spec.target->exclude_layers = {"stem*", "*down*"};
  spec.task.learning_rate.base = 0.001;
  const int64_t requested = ParametersOf(graph) - 10 * 9 - 5;
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kParameters, std::nullopt, requested};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_EQ(ReportOf(outcome)["size"]["parameters"]["reached"], requested + 5 - 9);
}

// Two branches share their first layer, which neither takes away alone: together they save more
// than what goes for being small.
TEST_F(BudgetsOfStructures, ASizeThatIsMissedIsToldOf) {
  GraphBuilder b({8});
  std::string v = b.Linear("stem", "x", 8, 6);
  const std::string up = b.Weight("up.weight", Shape({48, 6}), 0.3F);
  for (const std::string block : {"b1", "b2"}) {
    const std::string hidden = b.Add("Relu", {b.Add("Gemm", {v, up}, {{"transB", int64_t{1}}})});
    v = b.Add("Add", {v, b.Linear(absl::StrCat(block, ".down"), hidden, 48, 6)});
  }
  const std::string hidden = b.Add("Relu", {b.Linear("b3.up", v, 6, 40)});
  v = b.Add("Add", {v, b.Linear("b3.down", hidden, 40, 6)});
  Graph graph = b.Finish(b.Linear("head", v, 6, 3));
  for (const char* const weight : {"b3.up.weight", "b3.down.weight"}) {
    for (float& x : graph.FindInitializer(weight)->value.span<float>()) x *= 0.001F;
  }
  const int64_t down = 48 * 6 + 6;
  const int64_t requested = ParametersOf(graph) - 2 * down - 48 * 6;
  JobSpec spec = StructuredJob(folder_, graph, Structure::kBranches);
  spec.method = MethodOptions(OneShot());
  spec.task.learning_rate.base = 1e-5;
  spec.target->protect_first = spec.target->protect_last = 0;
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kParameters, std::nullopt, requested};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json report = ReportOf(outcome);
  const int64_t third = 6 * 40 + 40 + 40 * 6 + 6;
  const int64_t reached = ParametersOf(graph) - down - third;
  EXPECT_EQ(report["size"]["parameters"]["reached"], reached);
  EXPECT_THAT(report["warnings"], testing::Contains(absl::StrCat("what is left has ", reached,
                                                                 " parameters, more than the ",
                                                                 requested, " asked for")));
}

TEST_F(BudgetsOfStructures, ABoundMayUndercutASize) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kParameters, 0.9, 0};
  spec.target->layer_targets = {{"fc1*", 0.75, 0.75}};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_EQ(ReportOf(outcome)["groups"][0]["live"], 8);
  EXPECT_EQ(ReportOf(outcome)["groups"][1]["live"], 24);
}

TEST_F(BudgetsOfStructures, TheReportHasTheSizeOfANarrowerModelThatIsNotWrittenToo) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.outputs.onnx = false;
  spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kBytes, 0.5, 0};
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_EQ(Find(outcome, JobFile::Kind::kShrunkOnnx), nullptr);
  const nlohmann::json report = ReportOf(outcome);
  EXPECT_LE(report["size"]["bytes"]["reached"], report["size"]["bytes"]["requested"]);
  EXPECT_FALSE(report["shrunk"].contains("file"));
  EXPECT_THAT(report["warnings"], IsEmpty());
}

TEST_F(BudgetsOfStructures, GroupsKeepToTheirBounds) {
  JobSpec spec = StructuredJob(folder_, MlpGraph(), Structure::kNeurons);
  spec.method = MethodOptions(MagnitudeOptions());
  spec.target->sparsity = 0.6;
  spec.target->layer_targets = {{"fc1*", 0, 0.5}};
  ASSERT_OK_AND_ASSIGN(const JobOutcome uniform, Run(spec));
  // Of 13 and 10; what the first one keeps the second one gives.
  EXPECT_EQ(ReportOf(uniform)["groups"][0]["live"], 16);
  EXPECT_EQ(ReportOf(uniform)["groups"][1]["live"], 7);
  spec.target->budget = BudgetKind::kGlobal;
  ASSERT_OK_AND_ASSIGN(const JobOutcome global, Run(spec));
  const int64_t first = ReportOf(global)["groups"][0]["live"];
  EXPECT_GE(first, 16);
  EXPECT_EQ(ReportOf(global)["groups"][1]["live"], 22 - first);
  spec.target->budget = BudgetKind::kUniform;
  spec.target->sparsity = 0.9;
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("target.min_candidates")));
  spec.target->sparsity = 0.5;
  spec.target->layer_targets = {{"fc1*", 0.25, 0.25}};
  ASSERT_OK_AND_ASSIGN(const JobOutcome settled, Run(spec));
  EXPECT_EQ(ReportOf(settled)["groups"][0]["live"], 24);
  EXPECT_EQ(ReportOf(settled)["groups"][1]["live"], 4);
  spec.target->layer_targets = {{"head*", 0, 0.5}};
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("names nothing that is pruned: 'head.weight'")));
  spec.target->layer_targets = {{"fc9*", 0, 0.5}};
  EXPECT_THAT(Run(spec).status(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("target.layer_targets[0] 'fc9*'")));
}

}  // namespace
}  // namespace topiary
