#include "server/api/spec_defaults.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation.h"

namespace topiary {
namespace {

using google::protobuf::TextFormat;
using google::protobuf::util::MessageDifferencer;

struct DefaultsCase {
  const char* name;
  const char* given;     // a spec as text, without model and data's digests
  const char* expected;  // fields that must come out of it
};

v1::CompressionSpec SpecOf(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &spec)) << text;
  if (spec.model().files().empty()) {
    spec.mutable_model()->add_files()->set_path("m.onnx");
    spec.mutable_model()->mutable_files(0)->set_digest(std::string(64, 'a'));
  }
  if (!spec.data().has_train() && !spec.has_benchmark()) {
    spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(std::string(64, 'b'));
  }
  return spec;
}

class SpecDefaults : public testing::TestWithParam<DefaultsCase> {};

TEST_P(SpecDefaults, AreFilledIn) {
  v1::CompressionSpec filled = SpecOf(GetParam().given);
  FillDefaults(&filled);
  v1::CompressionSpec expected;
  ASSERT_TRUE(TextFormat::ParseFromString(GetParam().expected, &expected));
  MessageDifferencer differencer;
  differencer.set_scope(MessageDifferencer::PARTIAL);
  std::string report;
  differencer.ReportDifferencesToString(&report);
  EXPECT_TRUE(differencer.Compare(expected, filled)) << report;
}

TEST_P(SpecDefaults, MakeAValidSpecAndChangeNothingWhenAppliedAgain) {
  v1::CompressionSpec once = SpecOf(GetParam().given);
  FillDefaults(&once);
  FieldViolations violations;
  ValidateSpec(once, "spec", &violations);
  EXPECT_EQ(violations.ToStatus(), absl::OkStatus());
  v1::CompressionSpec twice = once;
  FillDefaults(&twice);
  EXPECT_TRUE(MessageDifferencer::Equals(once, twice));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, SpecDefaults,
    testing::Values(
        DefaultsCase{"Shortest", "target { sparsity: 0.9 }",
                     R"(model { files { path: "m.onnx" main: true
                          digest: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } }
                        data { validation_fraction: 0.1 divide_by: 1
                               train { npz { input_array: "x" label_array: "y" } } }
                        task { loss: CROSS_ENTROPY batch_size: 128 epochs: 10 seed: 0 precision: FLOAT32
                               optimizer { sgd { momentum: 0.9 } weight_decay: 0 }
                               learning_rate { base: 0.05 cosine { final_fraction: 0 } }
                               metrics: ACCURACY metrics: LOG_LOSS }
                        sequential_attention_pp {
                          preset: SINGLE logits_learning_rate_multiplier: 10
                          logits_weight_decay: 0 schedule_constant: 4 clip_attention: true
                          reset_optimizer_at_phases: true softmax: LAYER }
                        target { block_rows: 16 block_cols: 16 budget: UNIFORM min_blocks: 100
                                 batch_norm_batches: 100 }
                        outputs { onnx: true block_sparse: true latency: true
                                  latency_batch_sizes: [1, 64] }
                        placement { device: CPU }
                        retry { max_attempts: 3 initial_backoff { seconds: 1 }
                                maximum_backoff { seconds: 60 } })"},
        DefaultsCase{"Structure", "target { sparsity: 0.5 structure: HEADS }",
                     R"(target { min_candidates: 2 budget: UNIFORM batch_norm_batches: 100 }
                        outputs { onnx: true block_sparse: false })"},
        DefaultsCase{"Branches", "target { sparsity: 0.5 structure: BRANCHES protect_last: 0 }",
                     "target { min_candidates: 2 protect_first: 1 protect_last: 0 }"},
        DefaultsCase{"AdamW", "target { sparsity: 0.5 } task { optimizer { adamw {} } }",
                     R"(task { optimizer { adamw { beta1: 0.9 beta2: 0.999 epsilon: 1e-8 }
                                           weight_decay: 0.01 }
                               learning_rate { base: 0.001 } }
                        sequential_attention_pp { logits_weight_decay: 0.01 })"},
        DefaultsCase{"Binary", "target { sparsity: 0.5 } task { loss: BINARY_CROSS_ENTROPY }",
                     "task { metrics: ACCURACY metrics: LOG_LOSS metrics: AUC }"},
        DefaultsCase{"Regression", "target { sparsity: 0.5 } task { loss: MEAN_SQUARED_ERROR }",
                     "task { metrics: MEAN_SQUARED_ERROR_METRIC metrics: R2 }"},
        DefaultsCase{"Distillation",
                     "target { sparsity: 0.5 } task { distillation { features { value: 'h' } } }",
                     "task { distillation { weight: 0.5 temperature: 4 "
                     "features { value: 'h' weight: 1 } } }"},
        DefaultsCase{"DistilledRegression",
                     "target { sparsity: 0.5 } task { loss: MEAN_SQUARED_ERROR distillation {} }",
                     "task { distillation { weight: 0.5 } }"},
        DefaultsCase{"Rewind", "target { sparsity: 0.5 rewind {} }",
                     "target { rewind { to_fraction: 0.05 weights: true learning_rate: true } }"},
        DefaultsCase{"Magnitude", "target { sparsity: 0.5 } magnitude {}",
                     "magnitude { gradual { begin_fraction: 0.2 end_fraction: 0.7 } }"},
        DefaultsCase{
            "Iterative", "target { sparsity: 0.5 } magnitude { iterative {} }",
            "magnitude { iterative { rounds: 10 begin_fraction: 0.2 end_fraction: 0.7 } }"},
        DefaultsCase{"AcDc", "target { sparsity: 0.5 } ac_dc {}",
                     "ac_dc { preset: PAPER_IMAGENET restart_at_zero: true "
                     "reset_optimizer_at_phases: true }"},
        DefaultsCase{"Snip", "target { sparsity: 0.5 } snip {}", "snip { batches: 1 }"},
        DefaultsCase{"GroupLasso", "target { sparsity: 0.5 } group_lasso {}",
                     "group_lasso { strength: 0.001 end_fraction: 0.7 }"},
        DefaultsCase{"Iht", "target { sparsity: 0.5 } iht {}",
                     "iht { begin_fraction: 0.2 end_fraction: 0.7 }"},
        DefaultsCase{"FisherAttention",
                     "target { sparsity: 0.5 } task { optimizer { weight_decay: 0.01 } } "
                     "fisher_attention {}",
                     "fisher_attention { begin_fraction: 0.05 end_fraction: 0.5 "
                     "logits_learning_rate_multiplier: 30 logits_weight_decay: 0.01 "
                     "fisher_decay: 0.98 }"},
        DefaultsCase{"Movement", "target { sparsity: 0.5 } movement {}",
                     "movement { begin_fraction: 0.2 end_fraction: 0.7 }"},
        DefaultsCase{"RigL", "target { sparsity: 0.5 } rigl {}",
                     "rigl { drop_fraction: 0.3 update_steps: 100 end_fraction: 0.75 }"},
        DefaultsCase{"PowerPropagation", "target { sparsity: 0.5 } power_propagation {}",
                     "power_propagation { element { exponent: 2 } "
                     "gradual { begin_fraction: 0.2 end_fraction: 0.7 } }"},
        DefaultsCase{"PowerPropagationOfBlocks",
                     "target { sparsity: 0.5 } power_propagation { block {} one_shot {} }",
                     "power_propagation { block {} one_shot { at_fraction: 0 } }"},
        DefaultsCase{"Random", "target { sparsity: 0.5 } random {}",
                     "random { at_fraction: 0 } outputs { block_sparse: true }"},
        DefaultsCase{"FeatureSelection", "feature_selection { count: 5 }",
                     "feature_selection { count: 5 epochs: 10 sequential_attention { "
                     "features_per_step: 1 warmup_fraction: 0 "
                     "logits_learning_rate_multiplier: 10 } } "
                     "outputs { onnx: true block_sparse: false }"},
        DefaultsCase{"FeatureSelectionAsLongAsTheTask",
                     "feature_selection { count: 5 omp {} } task { steps: 70 }",
                     "feature_selection { count: 5 steps: 70 omp { features_per_step: 1 "
                     "gradient_batches: 10 } }"},
        DefaultsCase{"SequentialLasso",
                     "feature_selection { count: 5 sequential_lasso {} epochs: 3 }",
                     "feature_selection { count: 5 epochs: 3 sequential_lasso { "
                     "features_per_step: 1 strength: 0.01 } }"},
        DefaultsCase{"LiaoLattyYang", "feature_selection { count: 5 liao_latty_yang {} }",
                     "feature_selection { liao_latty_yang { mask_learning_rate_multiplier: 1 } }"},
        DefaultsCase{"StochasticGates", "feature_selection { count: 5 stochastic_gates {} }",
                     "feature_selection { stochastic_gates { strength: 0.01 deviation: 0.5 "
                     "gates_learning_rate_multiplier: 1 } }"},
        DefaultsCase{"ConcreteAutoencoder",
                     "feature_selection { count: 5 concrete_autoencoder {} }",
                     "feature_selection { concrete_autoencoder { start_temperature: 10 "
                     "end_temperature: 0.01 logits_learning_rate_multiplier: 10 } }"},
        DefaultsCase{"GroupLassoOfFeatures", "feature_selection { count: 5 group_lasso {} }",
                     "feature_selection { count: 5 epochs: 10 group_lasso { strength: 0.01 } }"},
        DefaultsCase{"Dense", "dense {}", "dense {} outputs { onnx: true block_sparse: false }"},
        DefaultsCase{"Evaluate", "evaluate {}",
                     "evaluate {} outputs { onnx: false block_sparse: false } "
                     "task { batch_size: 128 precision: FLOAT32 }"},
        DefaultsCase{"Bfloat16", "evaluate {} task { precision: BFLOAT16 }",
                     "evaluate {} task { precision: BFLOAT16 }"},
        DefaultsCase{"SparseFromTheStart",
                     "target { sparsity: 0.5 } sequential_attention_pp { phases { phases { kind: "
                     "SPARSE fraction: 1 } } }",
                     "sequential_attention_pp { logits_learning_rate_multiplier: 10 }"},
        DefaultsCase{"Csv",
                     R"(target { sparsity: 0.5 } data { normalization { fitted {} } train { csv {
                        digest: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } } })",
                     R"(data { normalization { fitted { axis: FEATURE } }
                               train { csv { header: true delimiter: "," } } })"},
        DefaultsCase{"Wanda", "target { sparsity: 0.5 } wanda {} task { steps: 5 }",
                     "wanda { calibration_examples: 1024 comparison: OUTPUT } "
                     "task { optimizer { sgd { momentum: 0.9 } } }"},
        DefaultsCase{"SparseGpt", "target { sparsity: 0.5 } sparsegpt {}",
                     "sparsegpt { calibration_examples: 1024 dampening: 0.01 chunk_inputs: 128 }"},
        DefaultsCase{"GroupObs", "target { sparsity: 0.5 } group_obs { dampening: 0.1 }",
                     "group_obs { calibration_examples: 1024 dampening: 0.1 }"},
        DefaultsCase{"NOfM", "target { n_of_m { n: 2 m: 4 } } sparsegpt {}",
                     "target { block_rows: 1 block_cols: 1 budget: UNIFORM min_blocks: 100 }"},
        DefaultsCase{"SmallBatch", "dense {} task { batch_size: 8 }",
                     "dense {} outputs { latency: true latency_batch_sizes: [1, 8] }"},
        DefaultsCase{"NoLatency", "dense {} outputs { latency: false }",
                     "dense {} outputs { latency: false }"},
        DefaultsCase{"LatencyBudget", "target { latency { ratio: 0.5 batch_size: 8 } }",
                     "target { latency { ratio: 0.5 batch_size: 8 } } "
                     "outputs { latency: true latency_batch_sizes: [1, 64, 8] }"},
        DefaultsCase{"Bound",
                     "task { metrics: LOG_LOSS metrics: ACCURACY } target { sparsity: 0.5 "
                     "accuracy_bound { value: 1 } }",
                     "task { metrics: LOG_LOSS metrics: ACCURACY } target { sparsity: 0.5 "
                     "accuracy_bound { metric: LOG_LOSS value: 1 } }"},
        DefaultsCase{"Sensitivity", "target { sparsity: 0.5 budget: SENSITIVITY }",
                     "target { budget: SENSITIVITY sensitivity { examples: 1024 sparsities: "
                     "[0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98] } }"},
        DefaultsCase{"LatencyBudgetOfABatchNamed",
                     "target { latency { ratio: 0.5 } } outputs { latency_batch_sizes: [2, 1] }",
                     "target { latency { ratio: 0.5 batch_size: 1 } } "
                     "outputs { latency_batch_sizes: [2, 1] }"},
        DefaultsCase{"Benchmark", "benchmark {}",
                     "benchmark {} outputs { onnx: false block_sparse: false latency: true "
                     "latency_batch_sizes: [1, 64] }"},
        DefaultsCase{"LongBackoff",
                     "target { sparsity: 0.5 } retry { initial_backoff { seconds: 90 } }",
                     "retry { maximum_backoff { seconds: 90 } }"},
        DefaultsCase{"NoBackoff", "target { sparsity: 0.5 } retry { maximum_backoff {} }",
                     "retry { initial_backoff {} maximum_backoff {} }"}),
    [](const testing::TestParamInfo<DefaultsCase>& info) { return info.param.name; });

TEST(DefaultsOfCalibration, HaveNoTrainingUnlessTold) {
  v1::CompressionSpec spec = SpecOf("target { sparsity: 0.5 } wanda {}");
  FillDefaults(&spec);
  EXPECT_FALSE(spec.task().has_optimizer());
  EXPECT_FALSE(spec.task().has_learning_rate());
  EXPECT_EQ(spec.task().length_case(), v1::Task::LENGTH_NOT_SET);
  EXPECT_EQ(spec.task().batch_size(), 128);
}

}  // namespace
}  // namespace topiary
