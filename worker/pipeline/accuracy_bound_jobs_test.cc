// Whole jobs with an accuracy bound: met, met by an earlier model alone, met by none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using Reference = AccuracyBoundSpec::Reference;

class BoundJobs : public RunningJobs, public testing::WithParamInterface<bool> {
 protected:
  // Prunes until little is left at the end, so that it is better before; log_loss tells apart what
  // accuracy of 32 examples does not. Where the parameter is true, with BatchNormalization.
  JobSpec Job(Reference reference, double limit) const {
    JobSpec spec = SmallJob(folder_, GetParam() ? ConvGraph() : MlpGraph());
    MagnitudeOptions magnitude;
    magnitude.begin_fraction = 0.3;
    magnitude.end_fraction = 1;
    magnitude.refresh_steps = 1;
    spec.method = magnitude;
    spec.target->sparsity = 0.95;
    spec.target->block_rows = 2;
    spec.target->block_cols = 2;
    spec.target->accuracy_bound = AccuracyBoundSpec{MetricSpec::kLogLoss, reference, limit};
    spec.outputs.latency_batches.clear();
    if (parameters_.has_value()) {
      spec.target->size = SizeBudgetSpec{SizeBudgetSpec::Amount::kParameters, parameters_, 0};
    }
    return spec;
  }
  JobSpec Job(double most_loss) const { return Job(Reference::kNone, most_loss); }

  // A bound that the model of an earlier step alone meets, and this step, by what a job measures.
  struct Earlier {
    double limit = 0;
    json entry;
  };
  Earlier FindEarlier() {
    const absl::StatusOr<JobOutcome> outcome = Run(Job(1e6));
    EXPECT_OK(outcome.status());
    const json history = ReportOf(*outcome)["history"];
    const double last = history.back()["metrics"]["log_loss"];
    Earlier earlier;
    for (const json& entry : history) {
      if (entry["sparsity"] > 0 && entry["metrics"]["log_loss"] < last) {
        earlier.limit = entry["metrics"]["log_loss"];
      }
    }
    EXPECT_GT(earlier.limit, 0) << "the model must be better before: " << history;
    // The sparsest that meets it.
    for (const json& entry : history) {
      const bool meets = entry["sparsity"] > 0 && entry["metrics"]["log_loss"] <= earlier.limit;
      if (!meets || (!earlier.entry.is_null() && entry["sparsity"] <= earlier.entry["sparsity"])) {
        continue;
      }
      earlier.entry = entry;
    }
    return earlier;
  }

  std::optional<double> parameters_;  // Of the dense model, in place of the sparsity.
};

TEST_P(BoundJobs, AreNotDisturbedByABoundThatIsMet) {
  JobSpec spec = Job(1e6);
  ASSERT_OK_AND_ASSIGN(const JobOutcome bounded, Run(spec));
  const json report = ReportOf(bounded)["accuracy_bound"];
  EXPECT_TRUE(report["met"]);
  EXPECT_EQ(report["at_most"], 1e6);
  EXPECT_EQ(report["step"], 30);
  EXPECT_FALSE(report.contains("final"));
  EXPECT_EQ(bounded.bound_missed, "");
  EXPECT_THAT(ReportOf(bounded)["warnings"].dump(), Not(HasSubstr("accuracy bound")));
  spec.target->accuracy_bound.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome free, Run(spec));
  EXPECT_EQ(DigestOf(bounded, JobFile::Kind::kOnnx), DigestOf(free, JobFile::Kind::kOnnx));
  EXPECT_EQ(bounded.pruned_metrics, free.pruned_metrics);
}

TEST_P(BoundJobs, ExportTheSparsestModelThatMeetsTheBound) {
  const Earlier earlier = FindEarlier();
  const JobSpec spec = Job(earlier.limit);
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  EXPECT_TRUE(report["accuracy_bound"]["met"]);
  EXPECT_EQ(report["accuracy_bound"]["step"], earlier.entry["step"]);
  EXPECT_EQ(json(outcome.pruned_metrics), earlier.entry["metrics"]);
  EXPECT_NEAR(*outcome.sparsity_reached, earlier.entry["sparsity"], 1e-12);
  const json& last = report["accuracy_bound"]["final"];
  EXPECT_EQ(last["metrics"], report["history"].back()["metrics"]);
  EXPECT_GT(last["sparsity"], *outcome.sparsity_reached);
  EXPECT_THAT(report["warnings"].dump(), AllOf(HasSubstr("kept for the accuracy bound, of step"),
                                               Not(HasSubstr("min_blocks"))));
  EXPECT_EQ(Find(outcome, JobFile::Kind::kCheckpoint), nullptr);
  // The files have what the report says.
  JobSpec evaluate = spec;
  evaluate.model_path = Find(outcome, JobFile::Kind::kOnnx)->path;
  evaluate.method = EvaluateSpec();
  evaluate.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(evaluate));
  EXPECT_EQ(measured.given_metrics, outcome.pruned_metrics);
  EXPECT_EQ(*measured.sparsity_reached, *outcome.sparsity_reached);
}

TEST_P(BoundJobs, KeepTheSameModelWhenTheyAreKilledAndResumed) {
  const Earlier earlier = FindEarlier();
  const JobSpec spec = Job(earlier.limit);
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  const int64_t kept = earlier.entry["step"];
  ASSERT_OK_AND_ASSIGN(const Checkpoint before, ReadCheckpoint(observer.CheckpointPath(kept - 1)));
  ASSERT_OK_AND_ASSIGN(const Checkpoint after, ReadCheckpoint(observer.CheckpointPath(kept + 1)));
  EXPECT_TRUE(!before.record.kept.has_value() || before.record.kept->step < kept);
  ASSERT_TRUE(after.record.kept.has_value());
  EXPECT_EQ(after.record.kept->step, kept);
  for (const int64_t step : {int64_t{3}, kept - 1, kept, kept + 1, int64_t{30}}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight)) << "from step " << step;
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  }
}

TEST_P(BoundJobs, LeaveAReportAndACheckpointWhereNothingMeetsIt) {
  const JobSpec spec = Job(1e-9);
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  EXPECT_THAT(outcome.bound_missed, HasSubstr("log_loss of at most 1e-09"));
  ASSERT_THAT(outcome.files, SizeIs(2));
  ASSERT_NE(Find(outcome, JobFile::Kind::kCheckpoint), nullptr);
  ASSERT_OK_AND_ASSIGN(const Checkpoint last,
                       ReadCheckpoint(Find(outcome, JobFile::Kind::kCheckpoint)->path));
  EXPECT_EQ(last.step, 30);
  EXPECT_FALSE(last.record.kept.has_value());
  const json report = ReportOf(outcome);
  EXPECT_FALSE(report["accuracy_bound"]["met"]);
  EXPECT_EQ(report["metrics"]["pruned"], report["history"].back()["metrics"]);
  for (const int64_t step : {15, 30}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(resumed.bound_missed, outcome.bound_missed);
    EXPECT_NE(Find(resumed, JobFile::Kind::kCheckpoint), nullptr);
    EXPECT_EQ(ComparableReport(resumed), ComparableReport(outcome));
  }
}

TEST_P(BoundJobs, WarnWhereTheModelKeptIsLargerThanAskedFor) {
  parameters_ = 0.25;
  const Earlier earlier = FindEarlier();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(Job(earlier.limit)));
  const json report = ReportOf(outcome);
  EXPECT_GT(report["size"]["parameters"]["reached"], report["size"]["parameters"]["requested"]);
  EXPECT_THAT(report["warnings"].dump(), HasSubstr("kept for the accuracy bound"));
  ASSERT_OK_AND_ASSIGN(const JobOutcome met, Run(Job(1e6)));
  EXPECT_THAT(ReportOf(met)["warnings"].dump(), Not(HasSubstr("kept for the accuracy bound")));
}

TEST_P(BoundJobs, AreHeldAgainstTheDenseComparison) {
  JobSpec spec = Job(Reference::kDense, 1e6);
  spec.outputs.train_dense_comparison = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome)["accuracy_bound"];
  EXPECT_TRUE(report["met"]);
  EXPECT_EQ(report["reference"], "dense");
  EXPECT_EQ(report["at_most"], outcome.dense_metrics.at("log_loss") + 1e6);
}

INSTANTIATE_TEST_SUITE_P(Models, BoundJobs, testing::Bool(), [](const auto& info) {
  return info.param ? "BatchNormalization" : "Linear";
});

class KeptModels : public RunningJobs {};

TEST_F(KeptModels, OfNOfMHaveItInEveryLayer) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  MagnitudeOptions magnitude;
  magnitude.begin_fraction = 0;
  magnitude.end_fraction = 0.7;
  spec.method = magnitude;
  spec.target->n_of_m = NOfM{1, 4};
  spec.target->sparsity = 0.75;
  spec.target->block_rows = spec.target->block_cols = 1;
  spec.target->accuracy_bound =
      AccuracyBoundSpec{MetricSpec::kLogLoss, Reference::kNone, /*limit=*/1e6};
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec, &observer));
  ASSERT_OK_AND_ASSIGN(const Checkpoint before, ReadCheckpoint(observer.CheckpointPath(19)));
  ASSERT_THAT(before.record.history, SizeIs(3));
  EXPECT_GT(before.record.history.back().sparsity, 0.5);
  EXPECT_FALSE(before.record.kept.has_value()) << "runs are on their way";
  ASSERT_OK_AND_ASSIGN(const Checkpoint after, ReadCheckpoint(observer.CheckpointPath(30)));
  ASSERT_TRUE(after.record.kept.has_value());
  EXPECT_GE(after.record.kept->step, 21);
  EXPECT_EQ(after.record.kept->sparsity, *outcome.sparsity_reached);
}

// Weights grow twelvefold each step, so that a loss is soon no number any more.
class DivergingJobs : public RunningJobs {
 protected:
  JobSpec Job(double most_loss) const {
    JobSpec spec = SmallJob(folder_, MlpGraph());
    MagnitudeOptions magnitude;
    magnitude.begin_fraction = 0;
    magnitude.end_fraction = 1;
    magnitude.refresh_steps = 1;
    spec.method = magnitude;
    spec.task.learning_rate.schedule = LearningRateSpec::Schedule::kConstant;
    spec.task.learning_rate.base = 1e-15;
    spec.task.optimizer.momentum = 0;
    spec.task.optimizer.weight_decay = 1.3e16;
    spec.target->accuracy_bound =
        AccuracyBoundSpec{MetricSpec::kLogLoss, Reference::kNone, most_loss};
    spec.outputs.latency_batches.clear();
    return spec;
  }
};

TEST_F(DivergingJobs, LeaveTheModelThatWasKept) {
  JobSpec spec = Job(1e30);
  spec.outputs.keep_checkpoint = true;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const json report = ReportOf(outcome);
  const json& bound = report["accuracy_bound"];
  EXPECT_TRUE(bound["met"]);
  EXPECT_EQ(bound["final"]["metrics"], json::object());
  EXPECT_THAT(report["warnings"].dump(), AllOf(HasSubstr("diverged"), HasSubstr("learning_rate")));
  const json kept = report["history"].front();  // What follows has a loss that is no number.
  EXPECT_EQ(bound["step"], kept["step"]);
  EXPECT_EQ(json(outcome.pruned_metrics), kept["metrics"]);
  EXPECT_NEAR(*outcome.sparsity_reached, kept["sparsity"], 1e-12);
  EXPECT_EQ(outcome.bound_missed, "");
  ASSERT_NE(Find(outcome, JobFile::Kind::kOnnx), nullptr);
  for (const JobFile& file : outcome.files) {
    EXPECT_TRUE(std::filesystem::exists(file.path)) << file.path;
  }
  JobSpec evaluate = spec;
  evaluate.model_path = Find(outcome, JobFile::Kind::kOnnx)->path;
  evaluate.method = EvaluateSpec();
  evaluate.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(evaluate));
  EXPECT_EQ(measured.given_metrics, outcome.pruned_metrics);
}

TEST_F(DivergingJobs, LeaveTheSameModelWhenTheyAreKilledAndResumed) {
  const JobSpec spec = Job(1e30);
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  for (const int64_t step : {int64_t{3}, observer.checkpoint_steps.back()}) {
    RecordingObserver quiet;
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed,
                         Run(spec, &quiet, observer.CheckpointPath(step)));
    EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight)) << "from step " << step;
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx));
  }
}

TEST_F(DivergingJobs, FailWhereNoneWasKept) {
  EXPECT_THAT(Run(Job(1e-9)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("diverged")));
  JobSpec spec = Job(1e30);
  spec.target->accuracy_bound.reset();
  EXPECT_THAT(Run(spec).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("diverged")));
}

// Methods that scale, revive, write effective weights or change weights themselves.
struct MethodCase {
  std::string name;
  MethodSpec method;
  std::optional<Structure> structure = std::nullopt;
  bool rewinds = false;
  // What is learned of other labels makes these worse, so that earlier models are better.
  bool mislabelled = true;
};

void PrintTo(const MethodCase& method, std::ostream* out) { *out << method.name; }

std::vector<MethodCase> MethodCases() {
  SequentialAttentionPlusPlusOptions cycles;
  cycles.phases = PhasePreset("paper_imagenet").value();
  MagnitudeOptions one_shot;
  one_shot.schedule = MagnitudeOptions::Schedule::kOneShot;
  one_shot.at_fraction = 0.5;
  AcDcOptions ac_dc;  // Sparse at the end of two epochs, dense at that of two, and sparse again.
  ac_dc.phases = {{PhaseKind::kDense, 0.1},
                  {PhaseKind::kSparse, 0.35},
                  {PhaseKind::kDense, 0.4},
                  {PhaseKind::kSparse, 0.15}};
  return {{"ac_dc", ac_dc},
          {"iht", IhtOptions()},
          {"power_propagation", PowerPropagationOptions()},
          {"rewinding", one_shot, std::nullopt, true},
          {"rigl", RigLOptions{0.5, 3, 0.75, 0}},
          {"sequential_attention_pp", SequentialAttentionPlusPlusOptions()},
          {"sequential_attention_pp_cycles", cycles, std::nullopt, false, /*mislabelled=*/false},
          {"sequential_attention_pp_of_channels", SequentialAttentionPlusPlusOptions(),
           Structure::kChannels},
          {"wanda", WandaOptions()}};
}

class BoundOfAnyMethod : public RunningJobs, public testing::WithParamInterface<MethodCase> {
 protected:
  JobSpec Job() const {
    const MethodCase& c = GetParam();
    JobSpec spec = SmallJob(folder_, c.structure.has_value() ? ConvGraph() : MlpGraph());
    spec.method = c.method;
    if (c.mislabelled) {
      CsvSourceSpec evaluation;
      evaluation.path = WriteClassCsv(folder_ + "/mislabelled.csv", 32,
                                      c.structure.has_value() ? 36 : 8, 4, /*mislabelled=*/true);
      spec.data.evaluation = evaluation;
    }
    spec.target->structure = c.structure;
    if (c.structure.has_value()) spec.outputs.block_sparse = false;
    if (c.rewinds) {
      spec.target->rewind.emplace();
      spec.target->rewind->to_fraction = 0.2;
      spec.target->rewind->weights = true;
    }
    spec.outputs.latency_batches.clear();
    return spec;
  }
};

TEST_P(BoundOfAnyMethod, DoesNotDisturbTheTrainingAndKeepsWhatItMeasured) {
  JobSpec spec = Job();
  ASSERT_OK_AND_ASSIGN(const JobOutcome free, Run(spec));
  spec.target->accuracy_bound =
      AccuracyBoundSpec{MetricSpec::kLogLoss, Reference::kNone, /*limit=*/1e6};
  ASSERT_OK_AND_ASSIGN(const JobOutcome bounded, Run(spec));
  EXPECT_EQ(DigestOf(bounded, JobFile::Kind::kOnnx), DigestOf(free, JobFile::Kind::kOnnx));
  EXPECT_EQ(bounded.pruned_metrics, free.pruned_metrics);
  // The bound that an earlier model alone meets.
  const json history = ReportOf(bounded)["history"];
  const double last = history.back()["metrics"]["log_loss"];
  json best;
  for (const json& entry : history) {
    if (!(entry["sparsity"] > 0 && entry["metrics"]["log_loss"] < last)) continue;
    const bool better =
        best.is_null() || entry["metrics"]["log_loss"] < best["metrics"]["log_loss"];
    if (better) best = entry;
  }
  ASSERT_FALSE(best.is_null()) << "no earlier model is better: " << history;
  spec.target->accuracy_bound->limit = best["metrics"]["log_loss"];
  ASSERT_OK_AND_ASSIGN(const JobOutcome kept, Run(spec));
  EXPECT_EQ(ReportOf(kept)["accuracy_bound"]["step"], best["step"]);
  EXPECT_EQ(json(kept.pruned_metrics), best["metrics"]);
  // A block that RigL grew is 0, and counts, until it has a gradient.
  EXPECT_GE(*kept.sparsity_reached, best["sparsity"].get<double>() - 1e-12);
  JobSpec evaluate = spec;
  evaluate.model_path = Find(kept, JobFile::Kind::kOnnx)->path;
  evaluate.method = EvaluateSpec();
  evaluate.target.reset();
  ASSERT_OK_AND_ASSIGN(const JobOutcome measured, Run(evaluate));
  EXPECT_EQ(measured.given_metrics, kept.pruned_metrics);
}

INSTANTIATE_TEST_SUITE_P(Methods, BoundOfAnyMethod, testing::ValuesIn(MethodCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
