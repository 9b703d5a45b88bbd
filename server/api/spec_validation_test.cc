#include "server/api/spec_validation.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation_test_util.h"

namespace topiary {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(SpecValidation, TheShortestUsefulSpecIsAccepted) {
  EXPECT_THAT(PathsRefused(ShortestSpec()), IsEmpty());
}

// ---- One wrong field, named by its path
// -----------------------------------------------------------

// `patch` as of PatchedSpec().
struct RefusedCase {
  const char* name;
  const char* patch;
  const char* path;
};

class RefusedSpec : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedSpec, IsRefusedWithThePath) {
  EXPECT_THAT(PathsRefused(PatchedSpec(GetParam().patch)), Contains(GetParam().path));
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

const RefusedCase kModelCases[] = {
    {"TwoFilesAndNoMain", "model { files { path: 'model.onnx.data' digest: '" ZEROS "' } }",
     "spec.model.files"},
    {"TwoMains",
     "model { files { path: 'a' digest: '" ZEROS "' main: true } files { path: 'b' digest: '" ZEROS
     "' main: true } }",
     "spec.model.files"},
    {"SamePathTwice", "model { files { path: 'model.onnx' digest: '" ZEROS "' main: true } }",
     "spec.model.files[1].path"},
    {"AbsolutePath", "model { files { path: '/etc/passwd' digest: '" ZEROS "' main: true } }",
     "spec.model.files[1].path"},
    {"PathThatClimbs", "model { files { path: 'a/../../b' digest: '" ZEROS "' main: true } }",
     "spec.model.files[1].path"},
    {"PathWithABackslash", "model { files { path: 'a\\\\b' digest: '" ZEROS "' main: true } }",
     "spec.model.files[1].path"},
    {"PathWithANewline", "model { files { path: 'a\\nb' digest: '" ZEROS "' main: true } }",
     "spec.model.files[1].path"},
    {"NoDigest", "model { files { path: 'b' main: true } }", "spec.model.files[1].digest"},
    {"DigestInCapitals",
     "model { files { path: 'b' main: true digest: "
     "'ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD' } }",
     "spec.model.files[1].digest"},
};

const RefusedCase kDataCases[] = {
    {"SameArrayTwice", "data { train { npz { input_array: 'y' } } }",
     "spec.data.train.npz.label_array"},
    {"EmptyEvaluation", "data { evaluation {} }", "spec.data.evaluation"},
    {"IdxWithoutLabels", "data { train { idx { images_digest: '" ZEROS "' } } }",
     "spec.data.train.idx.labels_digest"},
    {"FractionBesideEvaluation",
     "data { validation_fraction: 0.1 evaluation { npz { digest: '" ZEROS "' } } }",
     "spec.data.validation_fraction"},
    {"FractionOfOne", "data { validation_fraction: 1 }", "spec.data.validation_fraction"},
    {"FractionNotANumber", "data { validation_fraction: nan }", "spec.data.validation_fraction"},
    {"DivisionByZero", "data { divide_by: 0 }", "spec.data.divide_by"},
    {"DivisionByInfinity", "data { divide_by: inf }", "spec.data.divide_by"},
    {"NormalizationOfNoKind", "data { normalization {} }", "spec.data.normalization"},
    {"FewerDeviationsThanMeans",
     "data { normalization { given { mean: [0, 0] "
     "standard_deviation: 1 } } }",
     "spec.data.normalization.given.standard_deviation"},
    {"DeviationOfZero",
     "data { normalization { given { mean: [0, 0] standard_deviation: [1, 0] } } }",
     "spec.data.normalization.given.standard_deviation[1]"},
    {"NoMeans", "data { normalization { given {} } }", "spec.data.normalization.given.mean"},
    {"UnknownAxis", "data { normalization { fitted { axis: 9 } } }",
     "spec.data.normalization.fitted.axis"},
    {"TwoCharacterDelimiter", "data { train { csv { digest: '" ZEROS "' delimiter: '::' } } }",
     "spec.data.train.csv.delimiter"},
    {"PointAsDelimiter", "data { train { csv { digest: '" ZEROS "' delimiter: '.' } } }",
     "spec.data.train.csv.delimiter"},
    {"ColumnWithoutRole", "data { train { csv { digest: '" ZEROS "' columns { index: 1 } } } }",
     "spec.data.train.csv.columns[0].role"},
    {"ColumnWithoutNameOrIndex",
     "data { train { csv { digest: '" ZEROS "' columns { role: LABEL } } } }",
     "spec.data.train.csv.columns[0].name"},
    {"ColumnByNameWithoutHeader",
     "data { train { csv { digest: '" ZEROS
     "' header: false columns { name: 'y' role: LABEL } } } }",
     "spec.data.train.csv.columns[0].name"},
    {"TwoLabels",
     "data { train { csv { digest: '" ZEROS
     "' columns { index: 0 role: LABEL } columns { index: 1 role: LABEL } } } }",
     "spec.data.train.csv.columns[1].role"},
    {"ColumnTwice",
     "data { train { csv { digest: '" ZEROS
     "' columns { index: 3 role: IGNORE } columns { index: 3 role: LABEL } } } }",
     "spec.data.train.csv.columns[1]"},
    {"NegativeColumn",
     "data { train { csv { digest: '" ZEROS "' columns { index: -1 role: IGNORE } } } }",
     "spec.data.train.csv.columns[0].index"},
};

const RefusedCase kTaskCases[] = {
    {"UnknownLoss", "task { loss: 17 }", "spec.task.loss"},
    {"UnknownPrecision", "task { precision: 17 }", "spec.task.precision"},
    {"MomentumOfOne", "task { optimizer { sgd { momentum: 1 } } }",
     "spec.task.optimizer.sgd.momentum"},
    {"MomentumNotANumber", "task { optimizer { sgd { momentum: nan } } }",
     "spec.task.optimizer.sgd.momentum"},
    {"NesterovWithoutMomentum", "task { optimizer { sgd { momentum: 0 nesterov: true } } }",
     "spec.task.optimizer.sgd.nesterov"},
    {"NegativeBeta1", "task { optimizer { adam { beta1: -0.1 } } }",
     "spec.task.optimizer.adam.beta1"},
    {"Beta2OfOne", "task { optimizer { adamw { beta2: 1 } } }", "spec.task.optimizer.adamw.beta2"},
    {"Beta2OfOneAsAFloat", "task { optimizer { adam { beta2: 0.99999999 } } }",
     "spec.task.optimizer.adam.beta2"},
    {"MomentumOfOneAsAFloat", "task { optimizer { sgd { momentum: 0.99999999 } } }",
     "spec.task.optimizer.sgd.momentum"},
    {"NesterovWithoutMomentumAsAFloat",
     "task { optimizer { sgd { momentum: 1e-50 nesterov: true } } }",
     "spec.task.optimizer.sgd.nesterov"},
    {"EpsilonOfZeroAsAFloat", "task { optimizer { adam { epsilon: 1e-50 } } }",
     "spec.task.optimizer.adam.epsilon"},
    {"EpsilonOfZero", "task { optimizer { adam { epsilon: 0 } } }",
     "spec.task.optimizer.adam.epsilon"},
    {"NegativeDecay", "task { optimizer { weight_decay: -1 } }",
     "spec.task.optimizer.weight_decay"},
    {"LearningRateOfZero", "task { learning_rate { base: 0 } }", "spec.task.learning_rate.base"},
    {"NegativeWarmUp", "task { learning_rate { warmup_steps: -1 } }",
     "spec.task.learning_rate.warmup_steps"},
    {"WarmUpToTheEnd", "task { steps: 10 learning_rate { warmup_steps: 10 } }",
     "spec.task.learning_rate.warmup_steps"},
    {"StepsWithoutMilestones", "task { learning_rate { step {} } }",
     "spec.task.learning_rate.step.milestones"},
    {"MilestonesThatFall", "task { learning_rate { step { milestones: [0.5, 0.4] } } }",
     "spec.task.learning_rate.step.milestones[1]"},
    {"CosineThatRises", "task { learning_rate { cosine { final_fraction: 2 } } }",
     "spec.task.learning_rate.cosine.final_fraction"},
    {"LinearBelowZero", "task { learning_rate { linear { final_fraction: -1 } } }",
     "spec.task.learning_rate.linear.final_fraction"},
    {"ClippingToZero", "task { clip_gradient_norm: 0 }", "spec.task.clip_gradient_norm"},
    {"NegativeBatch", "task { batch_size: -1 }", "spec.task.batch_size"},
    {"HugeBatch", "task { batch_size: 65537 }", "spec.task.batch_size"},
    {"NoEpochs", "task { epochs: 0 }", "spec.task.epochs"},
    {"NegativeSteps", "task { steps: -5 }", "spec.task.steps"},
    {"MetricTwice", "task { metrics: [ACCURACY, ACCURACY] }", "spec.task.metrics[1]"},
    {"AucOfManyClasses", "task { metrics: AUC }", "spec.task.metrics[0]"},
    {"AccuracyOfRegression", "task { loss: MEAN_SQUARED_ERROR metrics: ACCURACY }",
     "spec.task.metrics[0]"},
    {"HeavyTeacher", "task { distillation { weight: 1.5 } }", "spec.task.distillation.weight"},
    {"FreezingTeacher", "task { distillation { temperature: 0 } }",
     "spec.task.distillation.temperature"},
    {"TemperatureOfRegression", "task { loss: MEAN_SQUARED_ERROR distillation { temperature: 2 } }",
     "spec.task.distillation.temperature"},
    {"FeatureWithoutName", "task { distillation { features { weight: 1 } } }",
     "spec.task.distillation.features[0].value"},
    {"FeatureTwice", "task { distillation { features { value: 'h' } features { value: 'h' } } }",
     "spec.task.distillation.features[1].value"},
    {"FeatureWithoutWeight", "task { distillation { features { value: 'h' weight: 0 } } }",
     "spec.task.distillation.features[0].weight"},
    {"UnspecifiedMetric", "task { metrics: METRIC_UNSPECIFIED }", "spec.task.metrics[0]"},
};

const RefusedCase kMethodCases[] = {
    {"DenseWithATarget", "dense {}", "spec.target"},
    {"OneShotAtTheEnd", "magnitude { one_shot { at_fraction: 1 } }",
     "spec.magnitude.one_shot.at_fraction"},
    {"GradualThatEndsBeforeItBegins", "magnitude { gradual { begin_fraction: 0.8 } }",
     "spec.magnitude.gradual.end_fraction"},
    {"RefreshNever", "magnitude { gradual { refresh_steps: 0 } }",
     "spec.magnitude.gradual.refresh_steps"},
    {"NoRounds", "magnitude { iterative { rounds: 0 } }", "spec.magnitude.iterative.rounds"},
    {"RoundsOfNoTime", "magnitude { iterative { begin_fraction: 0.7 } }",
     "spec.magnitude.iterative.end_fraction"},
    {"AcDcWithASparsification",
     "ac_dc { phases { phases { kind: SPARSIFICATION fraction: 0.5 } phases { kind: SPARSE "
     "fraction: 0.5 } } }",
     "spec.ac_dc.phases.phases[0].kind"},
    {"AcDcThatEndsDense", "ac_dc { phases { phases { kind: DENSE fraction: 1 } } }",
     "spec.ac_dc.phases.phases"},
    {"AcDcOfAnUnknownPreset", "ac_dc { preset: 12 }", "spec.ac_dc.preset"},
    {"SensitivityOfNothing", "snip { batches: 0 }", "spec.snip.batches"},
    {"SensitivityToTheEnd", "snip { batches: 5 } task { steps: 5 }", "spec.snip.batches"},
    {"PenaltyOfZero", "group_lasso { strength: 0 }", "spec.group_lasso.strength"},
    {"PenaltyToTheEnd", "group_lasso { end_fraction: 1 }", "spec.group_lasso.end_fraction"},
    {"ThresholdsOfNoTime", "iht { begin_fraction: 0.7 }", "spec.iht.end_fraction"},
    {"FisherAttentionWithoutGradients", "fisher_attention { begin_fraction: 0 }",
     "spec.fisher_attention.begin_fraction"},
    {"FisherAttentionThatBeginsAtItsEnd", "fisher_attention { begin_fraction: 0.6 }",
     "spec.fisher_attention.end_fraction"},
    {"FisherAttentionThatEndsAtItsBeginning", "fisher_attention { end_fraction: 0.05 }",
     "spec.fisher_attention.end_fraction"},
    {"FisherAttentionThatForgetsNothing", "fisher_attention { fisher_decay: 1 }",
     "spec.fisher_attention.fisher_decay"},
    {"FisherAttentionOfNegativeRate", "fisher_attention { logits_learning_rate_multiplier: -1 }",
     "spec.fisher_attention.logits_learning_rate_multiplier"},
    {"FisherAttentionNeverRefreshed", "fisher_attention { refresh_steps: 0 }",
     "spec.fisher_attention.refresh_steps"},
    {"MovementWithoutScores", "movement { begin_fraction: 0 }", "spec.movement.begin_fraction"},
    {"MovementThatEndsBeforeItBegins", "movement { begin_fraction: 0.8 }",
     "spec.movement.end_fraction"},
    {"MovementNeverRefreshed", "movement { refresh_steps: 0 }", "spec.movement.refresh_steps"},
    {"NothingReplaced", "rigl { drop_fraction: 0 }", "spec.rigl.drop_fraction"},
    {"NeverReplaced", "rigl { update_steps: 0 }", "spec.rigl.update_steps"},
    {"ReplacedInEachStep", "rigl { update_steps: 1 }", "spec.rigl.update_steps"},
    {"ReplacedAfterTheEnd", "rigl { end_fraction: 1.5 }", "spec.rigl.end_fraction"},
    {"PowerOfOne", "power_propagation { element { exponent: 1 } }",
     "spec.power_propagation.element.exponent"},
    {"PowersOfNoTime", "power_propagation { gradual { begin_fraction: 0.7 } }",
     "spec.power_propagation.gradual.end_fraction"},
    {"RandomAtTheEnd", "random { at_fraction: 1 }", "spec.random.at_fraction"},
    {"UnknownPreset", "sequential_attention_pp { preset: 12 }",
     "spec.sequential_attention_pp.preset"},
    {"NoPhases", "sequential_attention_pp { phases {} }",
     "spec.sequential_attention_pp.phases.phases"},
    {"PhasesThatDoNotFillTheRun",
     "sequential_attention_pp { phases { phases { kind: SPARSE fraction: 0.5 } } }",
     "spec.sequential_attention_pp.phases.phases"},
    {"LastPhaseDense", "sequential_attention_pp { phases { phases { kind: DENSE fraction: 1 } } }",
     "spec.sequential_attention_pp.phases.phases"},
    {"PhaseOfNoLength",
     "sequential_attention_pp { phases { phases { kind: DENSE fraction: 0 } phases { kind: SPARSE "
     "fraction: 1 } } }",
     "spec.sequential_attention_pp.phases.phases[0].fraction"},
    {"LogitsThatStandStill", "sequential_attention_pp { logits_learning_rate_multiplier: 0 }",
     "spec.sequential_attention_pp.logits_learning_rate_multiplier"},
    {"UnknownSoftmax", "sequential_attention_pp { softmax: 12 }",
     "spec.sequential_attention_pp.softmax"},
    {"NegativeLogitsDecay", "sequential_attention_pp { logits_weight_decay: -1 }",
     "spec.sequential_attention_pp.logits_weight_decay"},
    {"ScheduleConstantOfZero", "sequential_attention_pp { schedule_constant: 0 }",
     "spec.sequential_attention_pp.schedule_constant"},
    {"MaskNeverRefreshed", "sequential_attention_pp { mask_refresh_steps: 0 }",
     "spec.sequential_attention_pp.mask_refresh_steps"},
    {"SparsityOfOne", "target { sparsity: 1 }", "spec.target.sparsity"},
    {"NegativeSparsity", "target { sparsity: -0.5 }", "spec.target.sparsity"},
    {"LatencyRatioOfOne", "target { latency { ratio: 1 } }", "spec.target.latency.ratio"},
    {"NoLatencyRatio", "target { latency {} }", "spec.target.latency.ratio"},
    {"HugeLatencyBatch", "target { latency { ratio: 0.5 batch_size: 65537 } }",
     "spec.target.latency.batch_size"},
    {"LatencyOfLayersThatCompete", "target { budget: GLOBAL latency { ratio: 0.5 } }",
     "spec.target.budget"},
    {"NoLimitOfBytes", "target { bytes {} }", "spec.target.bytes.ratio"},
    {"ParametersOfOne", "target { parameters { ratio: 1 } }", "spec.target.parameters.ratio"},
    {"NoFlops", "target { flops { count: 0 } }", "spec.target.flops.count"},
    {"FlopsOfLayersThatCompete", "target { flops { ratio: 0.5 } budget: GLOBAL }",
     "spec.target.budget"},
    {"BytesOfRowsOfTables", "target { bytes { ratio: 0.5 } structure: EMBEDDING_ROWS }",
     "spec.target.structure"},
    {"ParametersOfGroupsThatCompete",
     "target { parameters { ratio: 0.5 } structure: NEURONS budget: GLOBAL }",
     "spec.target.budget"},
    {"ErkOfAStructure", "target { budget: ERK structure: NEURONS }", "spec.target.budget"},
    {"LayerTargetOfBranches",
     "target { structure: BRANCHES layer_targets { pattern: '*' sparsity: 0.5 } }",
     "spec.target.layer_targets"},
    {"LayerTargetWithoutPattern", "target { layer_targets { sparsity: 0.5 } }",
     "spec.target.layer_targets[0].pattern"},
    {"LayerTargetOfNothing", "target { layer_targets { pattern: '*' } }",
     "spec.target.layer_targets[0].sparsity"},
    {"LayerTargetOfBoth", "target { layer_targets { pattern: '*' sparsity: 0.5 min_sparsity: 0 } }",
     "spec.target.layer_targets[0].sparsity"},
    {"LayerSparsityOfOne", "target { layer_targets { pattern: '*' sparsity: 1 } }",
     "spec.target.layer_targets[0].sparsity"},
    {"LayerBoundsOfNothing",
     "target { layer_targets { pattern: '*' min_sparsity: 0.5 max_sparsity: 0.4 } }",
     "spec.target.layer_targets[0].max_sparsity"},
    {"LayerBoundAboveOne", "target { layer_targets { pattern: '*' max_sparsity: 1.5 } }",
     "spec.target.layer_targets[0].max_sparsity"},
    {"BoundWithoutLimit", "target { accuracy_bound { metric: ACCURACY } }",
     "spec.target.accuracy_bound.value"},
    {"BoundOnWhatIsNotMeasured",
     "task { metrics: ACCURACY } target { accuracy_bound { metric: LOG_LOSS value: 1 } }",
     "spec.target.accuracy_bound.metric"},
    {"BoundOnAMetricOfAnotherLoss", "target { accuracy_bound { metric: AUC value: 0.5 } }",
     "spec.target.accuracy_bound.metric"},
    {"BoundThatRises", "target { accuracy_bound { max_drop_from_given: -0.1 } }",
     "spec.target.accuracy_bound.max_drop_from_given"},
    {"BoundOnNoComparison", "target { accuracy_bound { max_drop_from_dense: 0.1 } }",
     "spec.target.accuracy_bound.max_drop_from_dense"},
    {"SensitivityOfAnotherBudget", "target { sensitivity { examples: 9 } }",
     "spec.target.sensitivity"},
    {"SensitivityOnNothing", "target { budget: SENSITIVITY sensitivity { examples: -1 } }",
     "spec.target.sensitivity.examples"},
    {"SensitivityAtOne", "target { budget: SENSITIVITY sensitivity { sparsities: [0.5, 1] } }",
     "spec.target.sensitivity.sparsities[1]"},
    {"SensitivityThatFalls",
     "target { budget: SENSITIVITY sensitivity { sparsities: [0.5, 0.5] } }",
     "spec.target.sensitivity.sparsities[1]"},
    {"LatencyBudgetWithoutProof", "target { latency { ratio: 0.5 } } outputs { latency: false }",
     "spec.outputs.latency"},
    {"LatencyBudgetOfASizeTooMany",
     "target { latency { ratio: 0.5 batch_size: 99 } } "
     "outputs { latency_batch_sizes: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] }",
     "spec.outputs.latency_batch_sizes"},
    {"DryRunOfAnEvaluation", "evaluate {} dry_run: true", "spec.dry_run"},
    {"BenchmarkOfData", "benchmark {}", "spec.data"},
    {"BenchmarkWithATask", "benchmark {} task { seed: 1 }", "spec.task"},
    {"BenchmarkWithATarget", "benchmark {}", "spec.target"},
    {"BenchmarkOfNothing", "benchmark {} outputs { latency: false }", "spec.outputs.latency"},
    {"BenchmarkThatMakesAModel", "benchmark {} outputs { onnx: true }", "spec.outputs.onnx"},
    {"NegativeBlockRows", "target { block_rows: -16 }", "spec.target.block_rows"},
    {"HugeBlockCols", "target { block_cols: 5000 }", "spec.target.block_cols"},
    {"UnknownBudget", "target { budget: 7 }", "spec.target.budget"},
    {"BlockRowsOfAStructure", "target { structure: HEADS block_rows: 8 }",
     "spec.target.block_rows"},
    {"BlockColsOfAStructure", "target { structure: HEADS block_cols: 8 }",
     "spec.target.block_cols"},
    {"MinBlocksOfAStructure", "target { structure: CHANNELS min_blocks: 8 }",
     "spec.target.min_blocks"},
    {"LatencyOfAStructure", "target { structure: NEURONS latency { ratio: 0.5 } }",
     "spec.target.latency"},
    {"RunsOfAStructure", "target { structure: NEURONS n_of_m { n: 2 m: 4 } }",
     "spec.target.n_of_m"},
    {"UnknownStructure", "target { structure: 99 }", "spec.target.structure"},
    {"NegativeMinCandidates", "target { structure: NEURONS min_candidates: -1 }",
     "spec.target.min_candidates"},
    {"NegativeProtection", "target { structure: BRANCHES protect_first: -1 }",
     "spec.target.protect_first"},
    {"HugeProtection", "target { structure: TRANSFORMER_LAYERS protect_last: 1000001 }",
     "spec.target.protect_last"},
    {"FirstOfHeads", "target { structure: HEADS protect_first: 1 }", "spec.target.protect_first"},
    {"LastOfBlocks", "target { protect_last: 1 }", "spec.target.protect_last"},
    {"MinCandidatesOfBlocks", "target { min_candidates: 2 }", "spec.target.min_candidates"},
    {"StructureOfAMethodForBlocks", "rigl {} target { structure: NEURONS }",
     "spec.target.structure"},
    {"BlocksOfAStructure", "target { structure: NEURONS } outputs { block_sparse: true }",
     "spec.outputs.block_sparse"},
    {"NegativeMinBlocks", "target { min_blocks: -1 }", "spec.target.min_blocks"},
    {"RewindToTheEnd", "target { rewind { to_fraction: 1 } }", "spec.target.rewind.to_fraction"},
    {"RewindOfNothing", "target { rewind { weights: false learning_rate: false } }",
     "spec.target.rewind"},
    {"NegativeBatchNormBatches", "target { batch_norm_batches: -1 }",
     "spec.target.batch_norm_batches"},
    {"ScheduleOfNoSparsification",
     "sequential_attention_pp { schedule_constant: 4 phases { phases { kind: SPARSE fraction: 1 } "
     "} }",
     "spec.sequential_attention_pp.schedule_constant"},
    {"RefreshOfNoSparsification",
     "sequential_attention_pp { mask_refresh_steps: 4 phases { phases { kind: DENSE fraction: 0.5 "
     "} phases { kind: SPARSE fraction: 0.5 } } }",
     "spec.sequential_attention_pp.mask_refresh_steps"},
    {"LatencyOfNothing", "outputs { latency_batch_sizes: 0 }",
     "spec.outputs.latency_batch_sizes[0]"},
    {"LatencyTwice", "outputs { latency_batch_sizes: [8, 8] }",
     "spec.outputs.latency_batch_sizes[1]"},
    {"LatencySizesThatAreNotMeasured", "outputs { latency: false latency_batch_sizes: 8 }",
     "spec.outputs.latency_batch_sizes"},
    {"LatencyOfManySizes",
     "outputs { latency_batch_sizes: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17] }",
     "spec.outputs.latency_batch_sizes"},
    {"MoreThanAllOfARun", "target { n_of_m { n: 4 m: 4 } }", "spec.target.n_of_m.n"},
    {"NothingOfARun", "target { n_of_m { m: 4 } }", "spec.target.n_of_m.n"},
    {"RunsOfOne", "target { n_of_m { n: 1 m: 1 } }", "spec.target.n_of_m.m"},
    {"RunsOfBlocks", "target { n_of_m { n: 2 m: 4 } block_rows: 4 }", "spec.target.block_rows"},
    {"RunsOfLayersThatCompete", "target { n_of_m { n: 2 m: 4 } budget: GLOBAL }",
     "spec.target.budget"},
    {"RunsThatGrow", "rigl {} target { n_of_m { n: 2 m: 4 } }", "spec.target.n_of_m"},
    {"RunsOfObs", "group_obs {} target { n_of_m { n: 2 m: 4 } }", "spec.target.n_of_m"},
    {"EmptyPattern", "target { include_layers: '' }", "spec.target.include_layers[0]"},
};

const RefusedCase kExecutionCases[] = {
    {"UnknownDevice", "placement { device: 2 }", "spec.placement.device"},
    {"NoThreads", "placement { threads: 0 }", "spec.placement.threads"},
    {"NegativeMemory", "placement { memory_bytes: -1 }", "spec.placement.memory_bytes"},
    {"NegativeAttempts", "retry { max_attempts: -1 }", "spec.retry.max_attempts"},
    {"NegativeBackoff", "retry { initial_backoff { seconds: -1 } }", "spec.retry.initial_backoff"},
    {"BackoffOfTwoDays", "retry { maximum_backoff { seconds: 172800 } }",
     "spec.retry.maximum_backoff"},
    {"BackoffWithWrongNanos", "retry { initial_backoff { nanos: 2000000000 } }",
     "spec.retry.initial_backoff"},
    {"BackoffThatShrinks",
     "retry { initial_backoff { seconds: 9 } maximum_backoff { seconds: 5 } }",
     "spec.retry.maximum_backoff"},
    {"DeadlineOfNoTime", "deadline {}", "spec.deadline"},
    {"DeadlineOfAYear", "deadline { seconds: 31536000 }", "spec.deadline"},
    {"HighestPriority", "priority: 101", "spec.priority"},
    {"LabelKeyInCapitals", "labels { key: 'Team' value: 'x' }", "spec.labels[\"Team\"]"},
    {"LabelValueWithSpaces", "labels { key: 'team' value: 'a b' }", "spec.labels[\"team\"]"},
};

std::string RefusedName(const testing::TestParamInfo<RefusedCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Model, RefusedSpec, testing::ValuesIn(kModelCases), RefusedName);
INSTANTIATE_TEST_SUITE_P(Data, RefusedSpec, testing::ValuesIn(kDataCases), RefusedName);
INSTANTIATE_TEST_SUITE_P(Task, RefusedSpec, testing::ValuesIn(kTaskCases), RefusedName);
INSTANTIATE_TEST_SUITE_P(Method, RefusedSpec, testing::ValuesIn(kMethodCases), RefusedName);
INSTANTIATE_TEST_SUITE_P(Execution, RefusedSpec, testing::ValuesIn(kExecutionCases), RefusedName);

// ---- What is missing
// --------------------------------------------------------------------------------

TEST(SpecValidation, AnEmptySpecIsRefusedForItsModelDataAndTarget) {
  EXPECT_THAT(PathsRefused(v1::CompressionSpec()),
              ElementsAre("spec.model.files", "spec.data.train", "spec.target.sparsity"));
}

TEST(SpecValidation, AStretchIsHeldAgainstTheDefaultsOfItsMethod) {
  v1::CompressionSpec spec = ShortestSpec();
  spec.mutable_fisher_attention()->set_end_fraction(0.15);  // It begins at 0.05, others at 0.2.
  EXPECT_THAT(PathsRefused(spec), IsEmpty());
}

TEST(SpecValidation, OutputsThatTheMethodDoesNotMakeAreRefused) {
  v1::CompressionSpec spec = ShortestSpec();
  spec.clear_target();
  spec.mutable_evaluate();
  spec.mutable_outputs()->set_onnx(true);
  spec.mutable_outputs()->set_block_sparse(true);
  spec.mutable_outputs()->set_keep_checkpoint(true);
  spec.mutable_outputs()->set_train_dense_comparison(true);
  EXPECT_THAT(PathsRefused(spec),
              ElementsAre("spec.outputs.onnx", "spec.outputs.block_sparse",
                          "spec.outputs.keep_checkpoint", "spec.outputs.train_dense_comparison"));
}

TEST(SpecValidation, WhatOnlyTrainingReadsIsRefusedWhereTheMethodDoesNotTrain) {
  v1::CompressionSpec spec = ShortestSpec();
  spec.clear_target();
  spec.mutable_evaluate();
  v1::Task* task = spec.mutable_task();
  task->set_batch_size(64);
  task->set_seed(1);
  task->add_metrics(v1::Task::LOG_LOSS);
  EXPECT_THAT(PathsRefused(spec), IsEmpty());
  task->mutable_optimizer()->mutable_adam();
  task->mutable_learning_rate()->set_base(0.1);
  task->set_clip_gradient_norm(1);
  task->set_epochs(3);
  task->mutable_distillation();
  EXPECT_THAT(PathsRefused(spec), ElementsAre("spec.task.optimizer", "spec.task.learning_rate",
                                              "spec.task.clip_gradient_norm", "spec.task.epochs",
                                              "spec.task.distillation"));
  task->set_steps(3);
  EXPECT_THAT(PathsRefused(spec), Contains("spec.task.steps"));
}

}  // namespace
}  // namespace topiary
