// Every method through whole jobs: to the sparsity asked for, with the same bits twice, and with
// the same bits again from any checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "common/status_matchers.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/onnx_import.h"
#include "worker/pipeline/running_jobs_test_util.h"
#include "worker/pipeline/task.h"

namespace topiary {
namespace {

struct MethodCase {
  std::string name;
  MethodSpec method;
};

void PrintTo(const MethodCase& method, std::ostream* out) { *out << method.name; }

MagnitudeOptions OneShot(double at) {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kOneShot;
  options.at_fraction = at;
  return options;
}

MagnitudeOptions Iterative() {
  MagnitudeOptions options;
  options.schedule = MagnitudeOptions::Schedule::kIterative;
  options.rounds = 4;
  return options;
}

SequentialAttentionPlusPlusOptions Cycles() {
  SequentialAttentionPlusPlusOptions options;
  options.phases = PhasePreset("paper_imagenet").value();
  return options;
}

SequentialAttentionPlusPlusOptions GlobalSoftmax() {
  SequentialAttentionPlusPlusOptions options;
  options.softmax = SequentialAttentionPlusPlusOptions::Softmax::kGlobal;
  return options;
}

PowerPropagationOptions BlockPowers() {
  PowerPropagationOptions options;
  options.power.form = PowerParametrization::Form::kBlock;
  return options;
}

std::vector<MethodCase> PruningMethods() {
  return {{"ac_dc", AcDcOptions()},
          {"fisher_attention", FisherAttentionOptions()},
          {"group_lasso", GroupLassoOptions{0.1, 0.7}},
          {"iht", IhtOptions()},
          {"magnitude_gradual", MagnitudeOptions()},
          {"magnitude_iterative", Iterative()},
          {"magnitude_one_shot", OneShot(0.5)},
          {"movement", MovementOptions()},
          {"power_propagation_element", PowerPropagationOptions()},
          {"power_propagation_block", BlockPowers()},
          {"random", RandomPruningOptions()},
          {"rigl", RigLOptions{0.5, 3, 0.75, 0}},
          {"sequential_attention_pp", SequentialAttentionPlusPlusOptions()},
          {"sequential_attention_pp_cycles", Cycles()},
          {"sequential_attention_pp_global", GlobalSoftmax()},
          {"snip", SnipOptions{7}},
          {"group_obs", GroupObsOptions()},
          {"sparsegpt", SparseGptOptions()},
          {"wanda", WandaOptions()}};
}

std::vector<MethodCase> Methods() {
  std::vector<MethodCase> methods = PruningMethods();
  methods.push_back({"dense", DenseOptions()});
  return methods;
}

absl::StatusOr<std::unique_ptr<Backend>> NewThreadedBackend(int, Precision) {
  CpuBackendOptions options;
  options.threads = 3;
  return CpuBackend::Create(options);
}

std::string NameOf(const testing::TestParamInfo<MethodCase>& info) { return info.param.name; }

class EveryPruningMethod : public RunningJobs, public testing::WithParamInterface<MethodCase> {
 protected:
  void ExpectAnotherModelThatResumes(const JobSpec& spec, const JobOutcome& alone) {
    TickingObserver observer(&clock_);
    observer.checkpoint_folder = NewTestFolder();
    ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
    EXPECT_NE(DigestOf(straight, JobFile::Kind::kOnnx), DigestOf(alone, JobFile::Kind::kOnnx));
    // Blocks at edges are smaller.
    EXPECT_NEAR(*straight.sparsity_reached, 0.75, 0.05);
    for (const int64_t step : {2, 13, 27}) {
      ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Resume(spec, observer, step));
      EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx))
          << "from step " << step;
    }
  }
};

// fc1 has 16 blocks, fc2 48, head 6, of which it keeps 1.5, rounded up.
TEST_P(EveryPruningMethod, ReachesTheSparsityAskedFor) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  const nlohmann::json layers = ReportOf(outcome)["layers"];
  EXPECT_EQ(layers[0]["blocks_live"], 4);
  EXPECT_EQ(layers[1]["blocks_live"], 12);
  EXPECT_EQ(layers[2]["blocks_live"], 2);
  // Blocks of head are smaller at its edge.
  EXPECT_NEAR(*outcome.sparsity_reached, 0.75, 0.03);
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryPruningMethod, testing::ValuesIn(PruningMethods()), NameOf);

// fc1 has 8 inputs, fc2 32, head 24: whole runs.
class EveryMethodOfRuns : public RunningJobs, public testing::WithParamInterface<MethodCase> {};

TEST_P(EveryMethodOfRuns, KeepsOneOfFour) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.method = GetParam().method;
  spec.target->n_of_m = NOfM{1, 4};
  spec.target->sparsity = 0.75;
  spec.target->block_rows = spec.target->block_cols = 1;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_EQ(ReportOf(outcome)["sparsity"]["budget"], "1:4");
  EXPECT_EQ(*outcome.sparsity_reached, 0.75);
  ASSERT_OK_AND_ASSIGN(const Graph pruned, ImportOnnx(Find(outcome, JobFile::Kind::kOnnx)->path));
  for (const char* const layer : {"fc1.weight", "fc2.weight", "head.weight"}) {
    const absl::Span<const float> weight = pruned.FindInitializer(layer)->value.span<float>();
    for (size_t run = 0; run < weight.size(); run += 4) {
      int kept = 0;
      for (size_t i = run; i < run + 4; ++i) kept += weight[i] != 0 ? 1 : 0;
      EXPECT_LE(kept, 1) << layer << " from " << run;
    }
  }
}

std::vector<MethodCase> MethodsOfRuns() {
  std::vector<MethodCase> methods;
  for (const MethodCase& method : PruningMethods()) {
    if (method.name != "rigl" && method.name != "group_obs") methods.push_back(method);
  }
  return methods;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethodOfRuns, testing::ValuesIn(MethodsOfRuns()), NameOf);

TEST_P(EveryPruningMethod, PrunesSingleWeights) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  spec.method = GetParam().method;
  spec.target->block_rows = spec.target->block_cols = 1;
  ASSERT_OK_AND_ASSIGN(const JobOutcome outcome, Run(spec));
  EXPECT_NEAR(*outcome.sparsity_reached, 0.75, 0.003);
}

// What the job without a teacher, or without going back, does not come to; from a checkpoint too.
TEST_P(EveryPruningMethod, LearnsFromTheModelAsGiven) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome alone, Run(spec));
  spec.task.distillation.emplace().features = {{"v1", 0.5}};
  ExpectAnotherModelThatResumes(spec, alone);
}

class EveryMethodThatSettles : public EveryPruningMethod {};

TEST_P(EveryMethodThatSettles, Rewinds) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome alone, Run(spec));
  spec.target->rewind.emplace().to_fraction = 0.1;
  ExpectAnotherModelThatResumes(spec, alone);
}

// Those that prune before the first step have nothing to go back from.
std::vector<MethodCase> MethodsThatSettle() {
  std::vector<MethodCase> methods;
  for (const MethodCase& method : PruningMethods()) {
    if (!Calibrates(method.method) && method.name != "random") methods.push_back(method);
  }
  return methods;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethodThatSettles, testing::ValuesIn(MethodsThatSettle()),
                         NameOf);

class EveryMethod : public RunningJobs, public testing::WithParamInterface<MethodCase> {};

TEST_P(EveryMethod, GivesTheSameBitsTwice) {
  JobSpec spec = SmallJob(folder_, ConvGraph());
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome first, Run(spec));
  ASSERT_OK_AND_ASSIGN(const JobOutcome second, Run(spec));
  EXPECT_EQ(DigestOf(first, JobFile::Kind::kOnnx), DigestOf(second, JobFile::Kind::kOnnx));
  EXPECT_EQ(DigestOf(first, JobFile::Kind::kBlockSparse),
            DigestOf(second, JobFile::Kind::kBlockSparse));
  EXPECT_EQ(ComparableReport(first), ComparableReport(second));
}

TEST_P(EveryMethod, AnotherSeedGivesOtherBits) {
  JobSpec spec = SmallJob(folder_, MlpGraph());
  spec.method = GetParam().method;
  ASSERT_OK_AND_ASSIGN(const JobOutcome first, Run(spec));
  spec.task.seed = 1;
  ASSERT_OK_AND_ASSIGN(const JobOutcome second, Run(spec));
  EXPECT_NE(DigestOf(first, JobFile::Kind::kOnnx), DigestOf(second, JobFile::Kind::kOnnx));
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(Methods()), NameOf);

struct TrainingCase {
  std::string name;
  Graph (*graph)();
  OptimizerSpec::Kind optimizer;
  bool clip;  // Which makes inner products before the optimizer's pass instead of on its way.
  bool threads = false;  // On the CPU backend, which sums them by thread and leaves blocks out.
};

void PrintTo(const TrainingCase& training, std::ostream* out) { *out << training.name; }

class ResumingJobs : public RunningJobs,
                     public testing::WithParamInterface<std::tuple<MethodCase, TrainingCase>> {};

// A checkpoint after every step, and a fresh run from some of them: in each phase, at boundaries,
// inside epochs.
TEST_P(ResumingJobs, GivesTheSameBitsFromAnyCheckpoint) {
  const auto& [method, training] = GetParam();
  JobSpec spec = SmallJob(folder_, training.graph());
  spec.method = method.method;
  spec.task.optimizer.kind = training.optimizer;
  if (training.optimizer != OptimizerSpec::Kind::kSgd) spec.task.learning_rate.base = 0.005;
  spec.task.optimizer.weight_decay = 0.01;
  if (training.clip) spec.task.clip_gradient_norm = 1.0;
  if (training.threads) backends_ = NewThreadedBackend;
  TickingObserver observer(&clock_);
  observer.checkpoint_folder = NewTestFolder();
  ASSERT_OK_AND_ASSIGN(const JobOutcome straight, Run(spec, &observer));
  ASSERT_GE(observer.checkpoint_steps.size(), 30u);
  for (const int64_t step : {1, 7, 13, 20, 22, 29}) {
    ASSERT_OK_AND_ASSIGN(const JobOutcome resumed, Resume(spec, observer, step));
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kOnnx), DigestOf(straight, JobFile::Kind::kOnnx))
        << "from step " << step;
    EXPECT_EQ(DigestOf(resumed, JobFile::Kind::kBlockSparse),
              DigestOf(straight, JobFile::Kind::kBlockSparse));
    EXPECT_EQ(ComparableReport(resumed), ComparableReport(straight)) << "from step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, ResumingJobs,
    testing::Combine(
        testing::ValuesIn(Methods()),
        testing::Values(
            TrainingCase{"sgd_dropout", MlpGraph, OptimizerSpec::Kind::kSgd, false},
            TrainingCase{"adam_batch_norm", ConvGraph, OptimizerSpec::Kind::kAdam, true},
            TrainingCase{"adamw_dropout", MlpGraph, OptimizerSpec::Kind::kAdamW, true},
            TrainingCase{"threads", ConvGraph, OptimizerSpec::Kind::kAdam, false, true})),
    [](const auto& info) {
      return std::get<0>(info.param).name + "_" + std::get<1>(info.param).name;
    });

}  // namespace
}  // namespace topiary
