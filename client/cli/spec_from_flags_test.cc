#include "client/cli/spec_from_flags.h"

#include <functional>

#include "client/cli/exit_code.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

v1::CompressionSpec FromText(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec));
  return spec;
}

struct FlagCase {
  const char* name;
  std::function<void(JobFlags*)> set;
  const char* spec;  // What comes out, besides empty `data` and `task`.
};

class Flags : public testing::TestWithParam<FlagCase> {};

TEST_P(Flags, SayThisInTheSpec) {
  JobFlags flags;
  GetParam().set(&flags);
  v1::CompressionSpec spec;
  ASSERT_OK(ApplyFlags(flags, &spec));
  v1::CompressionSpec wanted = FromText(GetParam().spec);
  if (!wanted.has_benchmark()) {
    wanted.mutable_data();
    wanted.mutable_task();
  }
  EXPECT_EQ(spec.DebugString(), wanted.DebugString());
}

INSTANTIATE_TEST_SUITE_P(
    SpecFromFlags, Flags,
    testing::Values(
        FlagCase{"None", [](JobFlags*) {}, ""},
        FlagCase{"Dense", [](JobFlags* f) { f->method = "dense"; }, "dense {}"},
        FlagCase{"GradualMagnitude", [](JobFlags* f) { f->method = "magnitude"; },
                 "magnitude { gradual {} }"},
        FlagCase{"OneShotMagnitude", [](JobFlags* f) { f->method = "magnitude_one_shot"; },
                 "magnitude { one_shot {} }"},
        FlagCase{"IterativeMagnitude", [](JobFlags* f) { f->method = "magnitude_iterative"; },
                 "magnitude { iterative {} }"},
        FlagCase{"AcDc", [](JobFlags* f) { f->method = "ac_dc"; }, "ac_dc {}"},
        FlagCase{"AcDcWithAPreset",
                 [](JobFlags* f) {
                   f->method = "ac_dc";
                   f->preset = "paper_cifar10";
                 },
                 "ac_dc { preset: PAPER_CIFAR10 }"},
        FlagCase{"Snip", [](JobFlags* f) { f->method = "snip"; }, "snip {}"},
        FlagCase{"Features",
                 [](JobFlags* f) {
                   f->method = "feature_selection";
                   f->features = 50;
                 },
                 "feature_selection { count: 50 }"},
        FlagCase{"FeatureSelector",
                 [](JobFlags* f) {
                   f->method = "feature_selection";
                   f->features = 5;
                   f->selector = "omp";
                 },
                 "feature_selection { count: 5 omp {} }"},
        FlagCase{"FisherAttention", [](JobFlags* f) { f->method = "fisher_attention"; },
                 "fisher_attention {}"},
        FlagCase{"Movement", [](JobFlags* f) { f->method = "movement"; }, "movement {}"},
        FlagCase{"GroupLasso", [](JobFlags* f) { f->method = "group_lasso"; }, "group_lasso {}"},
        FlagCase{"Iht", [](JobFlags* f) { f->method = "iht"; }, "iht {}"},
        FlagCase{"RigL", [](JobFlags* f) { f->method = "rigl"; }, "rigl {}"},
        FlagCase{"PowerPropagation", [](JobFlags* f) { f->method = "power_propagation"; },
                 "power_propagation {}"},
        FlagCase{"Random", [](JobFlags* f) { f->method = "random"; }, "random {}"},
        FlagCase{"Target",
                 [](JobFlags* f) {
                   f->sparsity = 0.9;
                   f->block = "8x4";
                   f->budget = "global";
                   f->min_blocks = 1;
                   f->exclude = {"fc*"};
                 },
                 "target { sparsity: 0.9 block_rows: 8 block_cols: 4 budget: GLOBAL "
                 "exclude_layers: 'fc*' min_blocks: 1 }"},
        FlagCase{"Structure",
                 [](JobFlags* f) {
                   f->structure = "embedding_dimensions";
                   f->min_candidates = 8;
                 },
                 "target { structure: EMBEDDING_DIMENSIONS min_candidates: 8 }"},
        FlagCase{"NOfM", [](JobFlags* f) { f->n_of_m = "2:4"; }, "target { n_of_m { n: 2 m: 4 } }"},
        FlagCase{"SparseGpt", [](JobFlags* f) { f->method = "sparsegpt"; }, "sparsegpt {}"},
        FlagCase{"LatencyBudget",
                 [](JobFlags* f) {
                   f->latency_ratio = 0.25;
                   f->latency_ratio_batch = 64;
                 },
                 "target { latency { ratio: 0.25 batch_size: 64 } }"},
        FlagCase{"BytesOfTheDenseModel",
                 [](JobFlags* f) {
                   f->bytes = 0.25;
                   f->budget = "erk";
                   f->layer_sparsities = {"a=b*=0.5", "fc1=0.1:", "*=:0.9", "c=0.2:0.3"};
                 },
                 "target { bytes { ratio: 0.25 } budget: ERK "
                 "layer_targets { pattern: 'a=b*' sparsity: 0.5 } "
                 "layer_targets { pattern: 'fc1' min_sparsity: 0.1 } "
                 "layer_targets { pattern: '*' max_sparsity: 0.9 } "
                 "layer_targets { pattern: 'c' min_sparsity: 0.2 max_sparsity: 0.3 } }"},
        FlagCase{"Bound", [](JobFlags* f) { f->bound = "0.95"; },
                 "target { accuracy_bound { value: 0.95 } }"},
        FlagCase{"BoundOnTheGivenModel", [](JobFlags* f) { f->bound = "log_loss=given-0.1"; },
                 "target { accuracy_bound { metric: LOG_LOSS max_drop_from_given: 0.1 } }"},
        FlagCase{"BoundOnTheDenseModel", [](JobFlags* f) { f->bound = "dense-0.01"; },
                 "target { accuracy_bound { max_drop_from_dense: 0.01 } }"},
        FlagCase{"Parameters", [](JobFlags* f) { f->parameters = 1e6; },
                 "target { parameters { count: 1000000 } }"},
        FlagCase{"Flops", [](JobFlags* f) { f->flops = 0.5; }, "target { flops { ratio: 0.5 } }"},
        FlagCase{"DryRun", [](JobFlags* f) { f->dry_run = true; }, "dry_run: true"},
        FlagCase{"Benchmark",
                 [](JobFlags* f) {
                   f->method = "benchmark";
                   f->latency_batches = {1, 8};
                 },
                 "benchmark {} outputs { latency_batch_sizes: [1, 8] }"},
        FlagCase{"PresetAlone", [](JobFlags* f) { f->preset = "paper_criteo"; },
                 "sequential_attention_pp { preset: PAPER_CRITEO }"},
        FlagCase{"SoftmaxAlone", [](JobFlags* f) { f->softmax = "global"; },
                 "sequential_attention_pp { softmax: GLOBAL }"},
        FlagCase{"ASweepOfEverything",
                 [](JobFlags* f) {
                   f->sweep_sparsities = {0.8, 0.9};
                   f->sweep_blocks = {"8x8", "1x16"};
                   f->sweep_methods = {"magnitude_one_shot", "rigl"};
                   f->sweep_seeds = {0, 7};
                 },
                 "sweep { sparsities: [0.8, 0.9] seeds: [0, 7] blocks { rows: 8 cols: 8 } "
                 "blocks { rows: 1 cols: 16 } methods { magnitude { one_shot {} } } "
                 "methods { rigl {} } }"},
        FlagCase{"SgdWithNesterov",
                 [](JobFlags* f) {
                   f->momentum = 0.8;
                   f->nesterov = true;
                   f->learning_rate = 0.1;
                 },
                 "task { optimizer { sgd { momentum: 0.8 nesterov: true } } "
                 "learning_rate { base: 0.1 } }"},
        FlagCase{"AdamWithDecayAndSchedule",
                 [](JobFlags* f) {
                   f->optimizer = "adamw";
                   f->weight_decay = 0;
                   f->schedule = "linear";
                   f->warmup_steps = 5;
                 },
                 "task { optimizer { adamw {} weight_decay: 0 } "
                 "learning_rate { warmup_steps: 5 linear {} } }"},
        FlagCase{"LatencyBatches",
                 [](JobFlags* f) {
                   f->latency_batches = {1, 32};
                 },
                 "outputs { latency_batch_sizes: [1, 32] }"},
        FlagCase{"NoLatency", [](JobFlags* f) { f->no_latency = true; },
                 "outputs { latency: false }"},
        FlagCase{"SeedZeroIsSaid", [](JobFlags* f) { f->seed = 0; }, "task { seed: 0 }"},
        FlagCase{"Precision", [](JobFlags* f) { f->precision = "bfloat16"; },
                 "task { precision: BFLOAT16 }"},
        FlagCase{"LengthBatchLossMetrics",
                 [](JobFlags* f) {
                   f->steps = 70;
                   f->batch = 32;
                   f->loss = "binary_cross_entropy";
                   f->metrics = {"auc", "accuracy"};
                 },
                 "task { loss: BINARY_CROSS_ENTROPY batch_size: 32 steps: 70 "
                 "metrics: [AUC, ACCURACY] }"},
        FlagCase{"Data",
                 [](JobFlags* f) {
                   f->validation_fraction = 0.2;
                   f->divide_by = 255;
                   f->normalize = "channel";
                 },
                 "data { validation_fraction: 0.2 divide_by: 255 "
                 "normalization { fitted { axis: CHANNEL } } }"},
        FlagCase{"Service",
                 [](JobFlags* f) {
                   f->threads = 1;
                   f->max_attempts = 5;
                   f->priority = -3;
                   f->deadline_seconds = 1.5;
                   f->labels = {"team=vision", "note=a=b"};
                   f->keep_checkpoint = true;
                 },
                 "outputs { keep_checkpoint: true } placement { threads: 1 } "
                 "retry { max_attempts: 5 } deadline { seconds: 1 nanos: 500000000 } priority: -3 "
                 "labels { key: 'team' value: 'vision' } labels { key: 'note' value: 'a=b' }"},
        FlagCase{"Predictions",
                 [](JobFlags* f) {
                   f->method = "evaluate";
                   f->return_predictions = true;
                 },
                 "evaluate { return_predictions: true }"}),
    [](const auto& info) { return info.param.name; });

struct MistakeCase {
  const char* name;
  std::function<void(JobFlags*)> set;
  const char* message;
};

class Mistakes : public testing::TestWithParam<MistakeCase> {};

TEST_P(Mistakes, AreUsageErrorsThatNameTheFlag) {
  JobFlags flags;
  GetParam().set(&flags);
  v1::CompressionSpec spec;
  const absl::Status status = ApplyFlags(flags, &spec);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kUsage);
}

INSTANTIATE_TEST_SUITE_P(
    SpecFromFlags, Mistakes,
    testing::Values(
        MistakeCase{"Method", [](JobFlags* f) { f->method = "prune"; }, "--method knows no"},
        MistakeCase{"Block", [](JobFlags* f) { f->block = "16"; }, "--block takes ROWSxCOLS"},
        MistakeCase{"EpochsAndSteps",
                    [](JobFlags* f) {
                      f->epochs = 1;
                      f->steps = 1;
                    },
                    "--epochs and --steps"},
        MistakeCase{"SparsityAndLatency",
                    [](JobFlags* f) {
                      f->sparsity = 0.5;
                      f->latency_ratio = 0.5;
                    },
                    "exclude one another"},
        MistakeCase{"TwoSizes",
                    [](JobFlags* f) {
                      f->bytes = 0.5;
                      f->flops = 0.5;
                    },
                    "exclude one another"},
        MistakeCase{"BoundOfNothing", [](JobFlags* f) { f->bound = "accuracy="; }, "--bound"},
        MistakeCase{"BoundOnAnUnknownMetric", [](JobFlags* f) { f->bound = "f1=0.5"; }, "--bound"},
        MistakeCase{"LayerWithoutSparsity", [](JobFlags* f) { f->layer_sparsities = {"fc1"}; },
                    "--layer-sparsity"},
        MistakeCase{"LayerWithoutBounds", [](JobFlags* f) { f->layer_sparsities = {"fc1=:"}; },
                    "--layer-sparsity"},
        MistakeCase{"SparsityOfRuns",
                    [](JobFlags* f) {
                      f->sparsity = 0.5;
                      f->n_of_m = "2:4";
                    },
                    "exclude one another"},
        MistakeCase{"RunsOfOneNumber", [](JobFlags* f) { f->n_of_m = "4"; }, "--n-of-m takes N:M"},
        MistakeCase{"BatchOfNoLatency", [](JobFlags* f) { f->latency_ratio_batch = 8; },
                    "--latency-ratio-batch"},
        MistakeCase{"MomentumOfAdam",
                    [](JobFlags* f) {
                      f->optimizer = "adam";
                      f->momentum = 0.9;
                    },
                    "--momentum"},
        MistakeCase{"PresetOfMagnitude",
                    [](JobFlags* f) {
                      f->method = "magnitude";
                      f->preset = "single";
                    },
                    "--preset"},
        MistakeCase{"PresetOfAnotherMethod",
                    [](JobFlags* f) {
                      f->method = "ac_dc";
                      f->preset = "single";
                    },
                    "--preset knows no \"single\""},
        MistakeCase{"SoftmaxOfMagnitude",
                    [](JobFlags* f) {
                      f->method = "magnitude";
                      f->softmax = "layer";
                    },
                    "--softmax"},
        MistakeCase{"FeaturesOfMagnitude",
                    [](JobFlags* f) {
                      f->method = "magnitude";
                      f->features = 5;
                    },
                    "--features"},
        MistakeCase{"Selector",
                    [](JobFlags* f) {
                      f->method = "feature_selection";
                      f->selector = "lasso";
                    },
                    "--selector knows no \"lasso\""},
        MistakeCase{"Label", [](JobFlags* f) { f->labels = {"vision"}; }, "KEY=VALUE"},
        MistakeCase{"EmptyLabelKey", [](JobFlags* f) { f->labels = {"=v"}; }, "KEY=VALUE"},
        MistakeCase{"Metric", [](JobFlags* f) { f->metrics = {"f1"}; }, "--metric knows no"},
        MistakeCase{"Precision", [](JobFlags* f) { f->precision = "float16"; },
                    "--precision knows no \"float16\"; there are float32, bfloat16"},
        MistakeCase{"Schedule", [](JobFlags* f) { f->schedule = "step"; }, "--spec"},
        MistakeCase{"Deadline", [](JobFlags* f) { f->deadline_seconds = -1; }, "--deadline"},
        MistakeCase{"Predictions", [](JobFlags* f) { f->return_predictions = true; },
                    "--predictions"}),
    [](const auto& info) { return info.param.name; });

TEST(SpecFromFlags, FlagsWinOverTheSpecFileAndLeaveTheRest) {
  v1::CompressionSpec spec =
      FromText("task { epochs: 30 batch_size: 64 } magnitude { one_shot {} }");
  JobFlags flags;
  flags.epochs = 2;
  flags.method = "dense";
  ASSERT_OK(ApplyFlags(flags, &spec));
  EXPECT_EQ(spec.task().epochs(), 2);
  EXPECT_EQ(spec.task().batch_size(), 64);
  EXPECT_TRUE(spec.has_dense());
}

TEST(SpecFromFlags, BlocksOfAnyShapeAreRead) {
  EXPECT_EQ(ParseBlock("--block", "16x16").value(), std::make_pair(16, 16));
  EXPECT_EQ(ParseBlock("--block", "1X8").value(), std::make_pair(1, 8));
}

TEST(SweepFlags, AListTakesThePlaceOfThatOfTheSpec) {
  JobFlags flags;
  flags.sweep_seeds = {5};
  v1::CompressionSpec spec =
      FromText("sweep { seeds: [1, 2, 3] sparsities: 0.5 methods { rigl {} } }");
  ASSERT_OK(ApplyFlags(flags, &spec));
  EXPECT_EQ(
      spec.sweep().DebugString(),
      FromText("sweep { seeds: 5 sparsities: 0.5 methods { rigl {} } }").sweep().DebugString());
}

TEST(SweepFlags, WrongWordsAreToldWithTheirFlag) {
  JobFlags flags;
  flags.sweep_methods = {"rigl", "magic"};
  v1::CompressionSpec spec;
  EXPECT_THAT(ApplyFlags(flags, &spec).message(), testing::HasSubstr("--sweep-method"));
  flags.sweep_methods.clear();
  flags.sweep_blocks = {"8"};
  EXPECT_THAT(ApplyFlags(flags, &spec).message(), testing::HasSubstr("--sweep-block"));
}

class WrongBlocks : public testing::TestWithParam<const char*> {};

TEST_P(WrongBlocks, AreRefused) { EXPECT_FALSE(ParseBlock("--block", GetParam()).ok()); }

INSTANTIATE_TEST_SUITE_P(SpecFromFlags, WrongBlocks,
                         testing::Values("", "x", "16", "0x4", "4x-1", "4x4x4", "axb", "1.5x2",
                                         "99999999999x1"));

TEST(MakeDataSource, NamesTheUploadedFiles) {
  JobFlags flags;
  flags.label_array = "target";
  ASSERT_OK_AND_ASSIGN(const v1::DataSource npz,
                       MakeDataSource(flags, {DataFormat::kNpz, {"a"}}, {"d1"}, {}));
  EXPECT_EQ(npz.npz().digest(), "d1");
  EXPECT_EQ(npz.npz().label_array(), "target");
  ASSERT_OK_AND_ASSIGN(const v1::DataSource idx,
                       MakeDataSource({}, {DataFormat::kIdx, {"i", "l"}}, {"d1", "d2"}, {}));
  EXPECT_EQ(idx.idx().images_digest(), "d1");
  EXPECT_EQ(idx.idx().labels_digest(), "d2");
}

TEST(MakeDataSource, ColumnsAreNamesWithAHeaderAndNumbersWithout) {
  JobFlags flags;
  flags.label_column = "price";
  ASSERT_OK_AND_ASSIGN(const v1::DataSource named,
                       MakeDataSource(flags, {DataFormat::kCsv, {"a"}}, {"d"}, {}));
  EXPECT_EQ(named.csv().columns(0).name(), "price");
  EXPECT_EQ(named.csv().columns(0).role(), v1::CsvColumn::LABEL);
  EXPECT_FALSE(named.csv().has_header());
  flags.no_header = true;
  EXPECT_THAT(MakeDataSource(flags, {DataFormat::kCsv, {"a"}}, {"d"}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--label-column")));
  flags.label_column = "0";
  flags.ignore_columns = {"3"};
  flags.delimiter = "\\t";
  ASSERT_OK_AND_ASSIGN(const v1::DataSource numbered,
                       MakeDataSource(flags, {DataFormat::kCsv, {"a"}}, {"d"}, {}));
  EXPECT_EQ(numbered.csv().columns(0).index(), 0);
  EXPECT_EQ(numbered.csv().columns(1).role(), v1::CsvColumn::IGNORE);
  EXPECT_EQ(numbered.csv().delimiter(), "\t");
  EXPECT_FALSE(numbered.csv().header());
}

TEST(MakeDataSource, FlagsOfAnotherFormatWouldDoNothingAndAreRefused) {
  JobFlags csv;
  csv.label_column = "y";
  EXPECT_FALSE(MakeDataSource(csv, {DataFormat::kNpz, {"a"}}, {"d"}, {}).ok());
  JobFlags npz;
  npz.input_array = "x";
  EXPECT_FALSE(MakeDataSource(npz, {DataFormat::kCsv, {"a"}}, {"d"}, {}).ok());
}

TEST(MakeDataSource, KeepsWhatTheSpecSaysOfTheSameFormatOnly) {
  v1::DataSource base;
  base.mutable_npz()->set_input_array("features");
  EXPECT_EQ(MakeDataSource({}, {DataFormat::kNpz, {"a"}}, {"d"}, base)->npz().input_array(),
            "features");
  EXPECT_FALSE(MakeDataSource({}, {DataFormat::kCsv, {"a"}}, {"d"}, base).ok());
}

}  // namespace
}  // namespace topiary
