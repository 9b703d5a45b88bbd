#include "worker/agent/spec_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status_matchers.h"
#include "worker/agent/spec_proto_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(DataDigests, EachIsNamedOnce) {
  const v1::CompressionSpec spec =
      Parse("data { train { idx { images_digest: '" + kA + "' labels_digest: '" + kB +
            "' } } evaluation { csv { digest: '" + kA + "' } } }");
  EXPECT_THAT(DataDigests(spec), ElementsAre(kA, kB));
}

TEST(ConvertModelFiles, OneFileIsTheMainOne) {
  const v1::CompressionSpec spec = Complete("");
  ASSERT_OK_AND_ASSIGN(const ModelFiles files, ConvertModelFiles(spec.model()));
  EXPECT_EQ(files.main, "model.onnx");
}

struct BadModel {
  const char* name;
  std::string files;
  const char* complaint;
};

class BadModelFiles : public testing::TestWithParam<BadModel> {};

TEST_P(BadModelFiles, AreRefused) {
  const v1::CompressionSpec spec = Parse("model { " + GetParam().files + " }");
  EXPECT_THAT(ConvertModelFiles(spec.model()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().complaint)));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadModelFiles,
    testing::Values(
        BadModel{"Parent", "files { path: '../m.onnx' digest: '" + kA + "' }", "stay"},
        BadModel{"Absolute", "files { path: '/m.onnx' digest: '" + kA + "' }", "stay"},
        BadModel{"Inner", "files { path: 'a/../../m.onnx' digest: '" + kA + "' }", "stay"},
        BadModel{"Backslash", "files { path: 'a\\\\m.onnx' digest: '" + kA + "' }", "stay"},
        BadModel{"Control", "files { path: 'a\\nm.onnx' digest: '" + kA + "' }", "stay"},
        BadModel{"Empty", "files { digest: '" + kA + "' }", "stay"},
        BadModel{"Digest", "files { path: 'm.onnx' digest: '../x' }", "SHA-256"},
        BadModel{
            "NoMain",
            "files { path: 'm' digest: '" + kA + "' } files { path: 'n' digest: '" + kB + "' }",
            "no main"},
        BadModel{"TwoMain",
                 "files { path: 'm' main: true digest: '" + kA +
                     "' } files { path: 'n' main: true digest: '" + kB + "' }",
                 "more than one"},
        BadModel{"Twice",
                 "files { path: 'm' main: true digest: '" + kA + "' } files { path: 'm' digest: '" +
                     kB + "' }",
                 "twice"}),
    [](const auto& info) { return info.param.name; });

TEST(ConvertSpec, TakesOverDataTaskAndMethod) {
  const v1::CompressionSpec spec = Complete(
      "data { train { csv { digest: '" + kB +
      "' header: false delimiter: ';' columns { index: 3 role: LABEL } } }"
      " evaluation { npz { digest: '" +
      kC +
      "' input_array: 'features' } }"
      " divide_by: 255 normalization { fitted { axis: CHANNEL } } }"
      "task { loss: BINARY_CROSS_ENTROPY optimizer { adamw { beta2: 0.95 } weight_decay: 0.1 }"
      " learning_rate { base: 0.01 warmup_steps: 7 step { factor: 0.5 milestones: 0.5 } }"
      " clip_gradient_norm: 3 batch_size: 64 steps: 99 seed: 5"
      " distillation { weight: 0.25 temperature: 2 features { value: 'h' weight: 3 } }"
      " metrics: AUC metrics: LOG_LOSS"
      " precision: BFLOAT16 }"
      "sequential_attention_pp { preset: PAPER_CRITEO schedule_constant: 8 clip_attention: false "
      "softmax: GLOBAL }"
      "target { sparsity: 0.9 block_rows: 8 block_cols: 1 budget: GLOBAL exclude_layers: 'fc*'"
      " min_blocks: 1 batch_norm_batches: 0 rewind { to_fraction: 0.2 weights: false } }"
      " placement { threads: 1 }");
  ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(spec));
  EXPECT_EQ(job.model_path, "/m/model.onnx");
  const auto& csv = std::get<CsvSourceSpec>(job.data.train);
  EXPECT_EQ(csv.path, "/c/b");
  EXPECT_FALSE(csv.header);
  EXPECT_EQ(csv.delimiter, ';');
  ASSERT_EQ(csv.columns.size(), 1);
  EXPECT_EQ(std::get<int>(csv.columns[0].column), 3);
  EXPECT_EQ(csv.columns[0].role, CsvColumnSpec::Role::kLabel);
  EXPECT_EQ(std::get<NpzSourceSpec>(*job.data.evaluation).input_array, "features");
  EXPECT_EQ(job.data.divide_by, 255);
  EXPECT_EQ(job.data.normalization.axis, NormalizationSpec::Axis::kChannel);
  EXPECT_EQ(job.task.loss, LossSpec::kBinaryCrossEntropy);
  EXPECT_EQ(job.task.optimizer.kind, OptimizerSpec::Kind::kAdamW);
  EXPECT_EQ(job.task.optimizer.beta2, 0.95);
  EXPECT_EQ(job.task.optimizer.weight_decay, 0.1);
  EXPECT_EQ(job.task.learning_rate.warmup_steps, 7);
  EXPECT_THAT(job.task.learning_rate.step_milestones, ElementsAre(0.5));
  EXPECT_EQ(job.task.clip_gradient_norm, 3);
  ASSERT_TRUE(job.task.distillation.has_value());
  EXPECT_EQ(job.task.distillation->weight, 0.25);
  EXPECT_EQ(job.task.distillation->temperature, 2);
  ASSERT_EQ(job.task.distillation->features.size(), 1u);
  EXPECT_EQ(job.task.distillation->features[0].value, "h");
  EXPECT_EQ(job.task.distillation->features[0].weight, 3);
  EXPECT_EQ(job.task.steps, 99);
  EXPECT_EQ(job.task.epochs, 0);
  EXPECT_EQ(job.task.seed, 5);
  EXPECT_THAT(job.task.metrics, ElementsAre(MetricSpec::kAuc, MetricSpec::kLogLoss));
  EXPECT_EQ(job.task.precision, PrecisionSpec::kBfloat16);
  const auto& method = MethodOf<SequentialAttentionPlusPlusOptions>(job);
  EXPECT_EQ(method.phases.size(), 32) << "1 + 10 * 3 + 1";
  EXPECT_EQ(method.schedule_constant, 8);
  EXPECT_FALSE(method.clip_attention);
  EXPECT_EQ(method.softmax, SequentialAttentionPlusPlusOptions::Softmax::kGlobal);
  EXPECT_EQ(job.target->budget, BudgetKind::kGlobal);
  EXPECT_EQ(job.target->block_cols, 1);
  EXPECT_EQ(job.target->batch_norm_batches, 0);
  ASSERT_TRUE(job.target->rewind.has_value());
  EXPECT_EQ(job.target->rewind->to_fraction, 0.2);
  EXPECT_FALSE(job.target->rewind->weights);
  EXPECT_TRUE(job.target->rewind->learning_rate);
  EXPECT_THAT(job.target->exclude_layers, ElementsAre("fc*"));
  EXPECT_EQ(job.threads, 1);
}

TEST(ConvertSpec, IsOfFloat32UnlessToldOtherwise) {
  for (const char* task : {"", "task { precision: FLOAT32 }"}) {
    ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(Complete(task)));
    EXPECT_EQ(job.task.precision, PrecisionSpec::kFloat32) << task;
  }
  ASSERT_OK_AND_ASSIGN(const JobSpec evaluation,
                       Convert(Complete("evaluate {} task { precision: BFLOAT16 }")));
  EXPECT_EQ(evaluation.task.precision, PrecisionSpec::kBfloat16);
}

TEST(ConvertSpec, LogitsDecayAsTheWeightsUnlessToldOtherwise) {
  ASSERT_OK_AND_ASSIGN(JobSpec job, Convert(Complete("sequential_attention_pp {}")));
  EXPECT_EQ(MethodOf<SequentialAttentionPlusPlusOptions>(job).logits_weight_decay, std::nullopt);
  ASSERT_OK_AND_ASSIGN(job,
                       Convert(Complete("sequential_attention_pp { logits_weight_decay: 0 }")));
  EXPECT_EQ(MethodOf<SequentialAttentionPlusPlusOptions>(job).logits_weight_decay, 0);
}

TEST(ConvertSpec, ExplicitPhasesComeInOrder) {
  const v1::CompressionSpec spec = Complete(
      "sequential_attention_pp { phases { phases { kind: DENSE fraction: 0.5 }"
      " phases { kind: SPARSIFICATION fraction: 0.25 } phases { kind: SPARSE fraction: 0.25 } } }");
  ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(spec));
  const auto& phases = MethodOf<SequentialAttentionPlusPlusOptions>(job).phases;
  ASSERT_EQ(phases.size(), 3);
  EXPECT_EQ(phases[1].kind, PhaseKind::kSparsify);
  EXPECT_EQ(phases[0].share, 0.5);
}

TEST(ConvertSpec, OneShotMagnitudeIsNotGradual) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("magnitude { one_shot { at_fraction: 0.4 } }")));
  const auto& method = MethodOf<MagnitudeOptions>(job);
  EXPECT_EQ(method.schedule, MagnitudeOptions::Schedule::kOneShot);
  EXPECT_EQ(method.at_fraction, 0.4);
}

TEST(ConvertSpec, IterativeMagnitudeHasItsRoundsAndStretch) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("magnitude { iterative { rounds: 3 begin_fraction: 0.1 "
                                        "end_fraction: 0.6 } }")));
  const auto& method = MethodOf<MagnitudeOptions>(job);
  EXPECT_EQ(method.schedule, MagnitudeOptions::Schedule::kIterative);
  EXPECT_EQ(method.rounds, 3);
  EXPECT_EQ(method.begin_fraction, 0.1);
  EXPECT_EQ(method.end_fraction, 0.6);
}

TEST(ConvertSpec, AcDcHasThePhasesOfItsPresetOrItsOwn) {
  ASSERT_OK_AND_ASSIGN(JobSpec job, Convert(Complete("ac_dc { restart_at_zero: false }")));
  EXPECT_EQ(MethodOf<AcDcOptions>(job).phases.size(), 16) << "1 + 6 * 2 + 3";
  EXPECT_FALSE(MethodOf<AcDcOptions>(job).restart_at_zero);
  EXPECT_TRUE(MethodOf<AcDcOptions>(job).reset_optimizer_at_phases);
  ASSERT_OK_AND_ASSIGN(job, Convert(Complete("ac_dc { preset: PAPER_CIFAR10 }")));
  EXPECT_EQ(MethodOf<AcDcOptions>(job).phases.size(), 10) << "1 + 4 * 2 + 1";
  ASSERT_OK_AND_ASSIGN(
      job, Convert(Complete("ac_dc { reset_optimizer_at_phases: false phases { phases { kind: "
                            "SPARSE fraction: 1 } } }")));
  EXPECT_EQ(MethodOf<AcDcOptions>(job).phases.size(), 1);
  EXPECT_FALSE(MethodOf<AcDcOptions>(job).reset_optimizer_at_phases);
}

TEST(ConvertSpec, FisherAttentionHasItsOptions) {
  ASSERT_OK_AND_ASSIGN(
      JobSpec job,
      Convert(Complete("fisher_attention { begin_fraction: 0.1 end_fraction: 0.9 refresh_steps: 5 "
                       "logits_learning_rate_multiplier: 0 logits_weight_decay: 0 "
                       "fisher_decay: 0.5 }")));
  const auto& method = MethodOf<FisherAttentionOptions>(job);
  EXPECT_EQ(method.begin_fraction, 0.1);
  EXPECT_EQ(method.end_fraction, 0.9);
  EXPECT_EQ(method.refresh_steps, 5);
  EXPECT_EQ(method.logits_learning_rate_multiplier, 0);
  EXPECT_EQ(method.logits_weight_decay, 0);
  EXPECT_EQ(method.fisher_decay, 0.5);
}

TEST(ConvertSpec, MovementHasItsStretch) {
  ASSERT_OK_AND_ASSIGN(
      const JobSpec job,
      Convert(Complete("movement { begin_fraction: 0.1 end_fraction: 0.9 refresh_steps: 5 }")));
  const auto& method = MethodOf<MovementOptions>(job);
  EXPECT_EQ(method.begin_fraction, 0.1);
  EXPECT_EQ(method.end_fraction, 0.9);
  EXPECT_EQ(method.refresh_steps, 5);
}

TEST(ConvertSpec, GroupLassoHasItsStrengthAndEnd) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("group_lasso { strength: 0.5 end_fraction: 0.9 }")));
  EXPECT_EQ(MethodOf<GroupLassoOptions>(job).strength, 0.5);
  EXPECT_EQ(MethodOf<GroupLassoOptions>(job).end_fraction, 0.9);
}

TEST(ConvertSpec, IhtHasItsStretch) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("iht { begin_fraction: 0.1 end_fraction: 0.9 }")));
  EXPECT_EQ(MethodOf<IhtOptions>(job).begin_fraction, 0.1);
  EXPECT_EQ(MethodOf<IhtOptions>(job).end_fraction, 0.9);
}

TEST(ConvertSpec, RigLBeginsByTheSeedOfTheTask) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("rigl { drop_fraction: 0.1 update_steps: 5 "
                                        "end_fraction: 0.5 } task { seed: 9 }")));
  const auto& method = MethodOf<RigLOptions>(job);
  EXPECT_EQ(method.drop_fraction, 0.1);
  EXPECT_EQ(method.update_steps, 5);
  EXPECT_EQ(method.end_fraction, 0.5);
  EXPECT_EQ(method.seed, 9);
}

TEST(ConvertSpec, PowerPropagationIsOfElementsOrBlocksOnAScheduleOfMagnitude) {
  ASSERT_OK_AND_ASSIGN(
      JobSpec job,
      Convert(Complete("power_propagation { element { exponent: 3 } iterative { rounds: 4 } }")));
  auto method = MethodOf<PowerPropagationOptions>(job);
  EXPECT_EQ(method.power.form, PowerParametrization::Form::kElement);
  EXPECT_EQ(method.power.exponent, 3);
  EXPECT_EQ(method.rounds, 4);
  ASSERT_OK_AND_ASSIGN(job, Convert(Complete("power_propagation { block {} one_shot {} }")));
  method = MethodOf<PowerPropagationOptions>(job);
  EXPECT_EQ(method.power.form, PowerParametrization::Form::kBlock);
  EXPECT_EQ(method.schedule, PruningSchedule::Schedule::kOneShot);
}

TEST(ConvertSpec, SnipMeasuresOverItsBatches) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(Complete("snip { batches: 7 }")));
  EXPECT_EQ(MethodOf<SnipOptions>(job).batches, 7);
}

TEST(ConvertSpec, SparseGptAndObsHaveTheirDampening) {
  ASSERT_OK_AND_ASSIGN(JobSpec job, Convert(Complete("sparsegpt { calibration_examples: 7 "
                                                     "dampening: 0.5 chunk_inputs: 64 }")));
  EXPECT_EQ(MethodOf<SparseGptOptions>(job).examples, 7);
  EXPECT_EQ(MethodOf<SparseGptOptions>(job).dampening, 0.5);
  EXPECT_EQ(MethodOf<SparseGptOptions>(job).chunk_inputs, 64);
  ASSERT_OK_AND_ASSIGN(job, Convert(Complete("group_obs { dampening: 0.25 }")));
  EXPECT_EQ(MethodOf<GroupObsOptions>(job).examples, 1024);
  EXPECT_EQ(MethodOf<GroupObsOptions>(job).dampening, 0.25);
}

TEST(ConvertSpec, WandaTrainsOnlyWhereItIsTold) {
  v1::CompressionSpec spec = Complete("wanda { calibration_examples: 7 comparison: LAYER }");
  ASSERT_OK_AND_ASSIGN(JobSpec job, Convert(spec));
  EXPECT_EQ(MethodOf<WandaOptions>(job).examples, 7);
  EXPECT_EQ(MethodOf<WandaOptions>(job).comparison, WandaOptions::Comparison::kLayer);
  EXPECT_EQ(job.task.epochs, 2);
  spec.mutable_task()->clear_length();
  spec.mutable_task()->clear_optimizer();
  spec.mutable_task()->clear_learning_rate();
  ASSERT_OK_AND_ASSIGN(job, Convert(spec));
  EXPECT_EQ(job.task.epochs, 0);
  EXPECT_EQ(job.task.steps, 0);
}

TEST(ConvertSpec, RandomPruningDrawsByTheSeedOfTheTask) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("random { at_fraction: 0.25 } task { seed: 9 }")));
  const auto& method = MethodOf<RandomPruningOptions>(job);
  EXPECT_EQ(method.at_fraction, 0.25);
  EXPECT_EQ(method.seed, 9);
}

TEST(ConvertSpec, ThreadsOfTheWorkerWhereTheSpecNamesNone) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(Complete("")));
  EXPECT_EQ(job.threads, 2);
}

// A new value is in the table of the conversion, not forgotten there.
TEST(ConvertSpec, ABenchmarkHasNoData) {
  v1::CompressionSpec spec = Complete("benchmark {} outputs { latency_batch_sizes: [1, 8] }");
  spec.clear_data();
  spec.clear_task();
  EXPECT_THAT(DataDigests(spec), testing::IsEmpty());
  ASSERT_OK_AND_ASSIGN(const JobSpec job, Convert(spec));
  EXPECT_TRUE(std::holds_alternative<BenchmarkSpec>(job.method));
  EXPECT_FALSE(job.outputs.onnx);
  EXPECT_THAT(job.outputs.latency_batches, testing::ElementsAre(1, 8));
}

TEST(ConvertSpec, EvaluateWritesNoModel) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("evaluate { return_predictions: true }")));
  EXPECT_FALSE(job.outputs.onnx);
  EXPECT_FALSE(job.outputs.block_sparse);
  EXPECT_TRUE(std::get<EvaluateSpec>(job.method).return_predictions);
}

struct Newer {
  const char* name;
  void (*change)(v1::CompressionSpec*);
  const char* field;
};

class NewerCoordinator : public testing::TestWithParam<Newer> {};

TEST_P(NewerCoordinator, SendsWhatIsNotKnownAndIsNotGuessedAt) {
  v1::CompressionSpec spec = Complete("sequential_attention_pp {} target { sparsity: 0.5 }");
  GetParam().change(&spec);
  EXPECT_THAT(Convert(spec).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().field)));
}

INSTANTIATE_TEST_SUITE_P(
    All, NewerCoordinator,
    testing::Values(
        Newer{"Method", [](v1::CompressionSpec* s) { s->clear_method(); }, "spec.method"},
        Newer{"MagnitudeSchedule", [](v1::CompressionSpec* s) { s->mutable_magnitude(); },
              "spec.magnitude.schedule"},
        Newer{"PowerForm",
              [](v1::CompressionSpec* s) { s->mutable_power_propagation()->mutable_gradual(); },
              "spec.power_propagation.form"},
        Newer{"Source", [](v1::CompressionSpec* s) { s->mutable_data()->clear_train(); },
              "spec.data"},
        Newer{"Loss",
              [](v1::CompressionSpec* s) {
                s->mutable_task()->set_loss(static_cast<v1::Task::Loss>(99));
              },
              "spec.task.loss"},
        Newer{"Optimizer",
              [](v1::CompressionSpec* s) { s->mutable_task()->mutable_optimizer()->clear_kind(); },
              "spec.task.optimizer"},
        Newer{"Schedule",
              [](v1::CompressionSpec* s) {
                s->mutable_task()->mutable_learning_rate()->clear_schedule();
              },
              "spec.task.learning_rate"},
        Newer{"Length", [](v1::CompressionSpec* s) { s->mutable_task()->clear_length(); },
              "spec.task.length"},
        Newer{"Batch", [](v1::CompressionSpec* s) { s->mutable_task()->set_batch_size(-1); },
              "spec.task.batch_size"},
        Newer{"Metric",
              [](v1::CompressionSpec* s) {
                s->mutable_task()->add_metrics(static_cast<v1::Task::Metric>(99));
              },
              "spec.task.metrics"},
        Newer{"Precision",
              [](v1::CompressionSpec* s) {
                s->mutable_task()->set_precision(static_cast<v1::Task::Precision>(99));
              },
              "spec.task.precision"},
        Newer{"Softmax",
              [](v1::CompressionSpec* s) {
                s->mutable_sequential_attention_pp()->set_softmax(
                    static_cast<v1::SequentialAttentionPlusPlusMethod::Softmax>(99));
              },
              "spec.sequential_attention_pp.softmax"},
        Newer{"Budget",
              [](v1::CompressionSpec* s) {
                s->mutable_target()->set_budget(static_cast<v1::PruningTarget::Budget>(99));
              },
              "spec.target.budget"},
        Newer{"Structure",
              [](v1::CompressionSpec* s) {
                s->mutable_target()->set_structure(static_cast<v1::PruningTarget::Structure>(99));
              },
              "spec.target.structure"},
        Newer{"Normalization",
              [](v1::CompressionSpec* s) { s->mutable_data()->mutable_normalization(); },
              "spec.data.normalization"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
