#include "client/cli/report_tables.h"

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReport[] = R"({
  "format": "topiary-report", "format_version": 1, "method": "sequential_attention_pp",
  "task": {"loss": "cross_entropy", "optimizer": "sgd", "seed": 0, "batch_size": 128,
           "steps": 4680, "epochs": 10.0, "train_examples": 60000, "evaluation_examples": 10000},
  "metrics": {"given": {"accuracy": 0.1, "log_loss": 2.3},
              "pruned": {"accuracy": 0.905, "log_loss": 0.25}},
  "sparsity": {"requested": 0.9, "reached": 0.8712, "block": [16, 16], "budget": "uniform"},
  "layers": [
    {"name": "conv1.weight", "kind": "Conv", "shape": [32, 1, 3, 3], "sparsity": 0.0,
     "pruned": false, "dense_reason": "fewer than 100 blocks", "dense_bytes": 1152,
     "stored_bytes": 1152},
    {"name": "fc1.weight", "kind": "Gemm", "shape": [512, 512], "sparsity": 0.9,
     "blocks_total": 1024, "blocks_live": 102, "pruned": true, "sparsity_requested": 0.9,
     "training_break_even_sparsity": 1.0, "dense_bytes": 1048576,
     "stored_bytes": 104960}],
  "phases": [{"kind": "dense", "begin": 0, "end": 936}],
  "warnings": ["1 layer stays dense"],
  "files": [{"name": "model.onnx", "bytes": 2048, "sha256": "abcd"}],
  "latency": [{"batch": 1, "runs": 200, "dense": {"p50_seconds": 0.002, "p95_seconds": 0.0025}},
              {"batch": 64, "runs": 40, "dense": {"p50_seconds": 0.012, "p95_seconds": 0.0145},
               "block_sparse": {"p50_seconds": 0.004, "p95_seconds": 0.005}, "speedup": 3.0,
               "sparse_weights": ["fc1.weight"], "break_even_sparsity": {"fc1.weight": 0.35},
               "warning": "slow at batch 64"}],
  "bit_exact": true,
  "costs": {"steps": 4680, "training_seconds": 93.5, "samples_per_second": 6400.0,
            "evaluation_seconds": 1.5},
  "environment": {"backend": "onednn", "isa": "avx512_core", "threads": 1,
                  "precision": "bfloat16"}
})";

TEST(ReportText, ShowsMetricsLayersPhasesFilesAndCosts) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReportText(kReport));
  EXPECT_THAT(text, HasSubstr("method sequential_attention_pp, cross_entropy, sgd, batch 128"));
  EXPECT_THAT(text, HasSubstr("accuracy  10.00 %  90.50 %"));
  EXPECT_THAT(text, HasSubstr("requested 90.00 % of the blocks, reached 87.12 % of all weights; "
                              "blocks of 16x16, budget uniform"));
  EXPECT_THAT(text, HasSubstr("102/1,024    90.00 %   90.00 %  1.0 MiB  102.5 KiB"));
  EXPECT_THAT(text, HasSubstr("fewer than 100 blocks"));
  EXPECT_THAT(text, HasSubstr("dense          0  936"));
  EXPECT_THAT(text, HasSubstr("warning: 1 layer stays dense\nwarning: slow at batch 64\n"));
  EXPECT_THAT(text, HasSubstr("2.00  2.50                 -     -         -"));
  EXPECT_THAT(text, HasSubstr("12.0  14.5              4.00  5.00     3.00x"));
  EXPECT_THAT(text, HasSubstr("sparse pays from  sparsity  training  batch 64\n"));
  EXPECT_THAT(text, HasSubstr("fc1.weight         90.00 %     never   35.00 %\n"));
  EXPECT_THAT(text, HasSubstr("6400 samples per second"));
  EXPECT_THAT(text, HasSubstr("isa avx512_core, threads 1, bfloat16 products\n"));
}

TEST(ReportText, ShowsWhatBecameOfAStructure) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReportText(R"({"method": "magnitude",
                     "sparsity": {"requested": 0.5, "reached": 0.4,
                                  "structure": "transformer_layers", "budget": "uniform"},
                     "groups": [{"name": "transformer_layers", "candidates": 4, "live": 2,
                                 "weights": ["a", "b"], "pruned": ["b1.down", "b3.down"]},
                                {"name": "b0.down", "weights": ["b0.down"],
                                 "dense_reason": "among the first"}],
                     "latency": [{"batch": 1, "dense": {"p50_seconds": 0.004},
                                  "shrunk": {"p50_seconds": 0.002}, "shrunk_speedup": 2.0}]})"));
  EXPECT_THAT(text, HasSubstr("sparsity requested 50.00 % of the transformer layers, reached "
                              "40.00 % of all weights; budget uniform\n"));
  EXPECT_THAT(text, HasSubstr("2/4  without b1.down, b3.down"));
  EXPECT_THAT(text, HasSubstr("-  among the first"));
  EXPECT_THAT(text, HasSubstr("narrower p50  speed-up"));
  EXPECT_THAT(text, HasSubstr("2.00     2.00x"));
}

TEST(ReportText, ShowsTheSparsityOfAStructureThatHasASize) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "magnitude", "dry_run": true,
                     "sparsity": {"reached": 0.4, "structure": "neurons", "budget": "uniform"},
                     "shrunk": {"bytes": 2048, "parameters": {"before": 900, "after": 400},
                                "tensors": []}})"));
  EXPECT_THAT(text, HasSubstr("sparsity reached 40.00 % of all weights; budget uniform\n"));
  EXPECT_THAT(text, HasSubstr("a narrower model: 400 of 900 parameters, 2.0 KiB"));
}

TEST(ReportText, ShowsTheFeaturesChosenInTheirOrder) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "feature_selection", "feature_selection": {
                     "selector": "sequential_attention", "candidates": 77, "steps": 1400,
                     "features": [{"input": "x", "columns": [7], "names": ["SOD1_N"], "step": 700},
                                  {"input": "x", "columns": [3], "step": 1400},
                                  {"group": "place", "columns": [0, 1], "step": 1400}]}})"));
  EXPECT_THAT(text, HasSubstr("3 of 77 features, by sequential_attention\n"));
  EXPECT_THAT(text, HasSubstr("     1  SOD1_N   7          700\n"));
  EXPECT_THAT(text, HasSubstr("     2  x        3        1,400\n"));
  EXPECT_THAT(text, HasSubstr("     3  place    0, 1     1,400\n"));
}

TEST(ReportText, DoesNotTakeFeaturesDrawnByChanceForAChoice) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "feature_selection", "feature_selection": {
                     "selector": "omp", "candidates": 77, "drawn_by_chance": true,
                     "features": [{"input": "x", "columns": [7], "names": ["SOD1_N"]}]}})"));
  EXPECT_THAT(text, HasSubstr("1 of 77 features, drawn by chance in place of the choice of omp\n"));
  EXPECT_THAT(text, Not(HasSubstr("SOD1_N")));
}

TEST(ReportText, HasAllDigitsOfTheSeed) {
  EXPECT_THAT(ReportText(R"({"method": "iht", "task": {"loss": "x", "seed": 20240501}})").value(),
              HasSubstr("seed 20240501\n"));
}

TEST(ReportText, ShowsADryRunAndALatencyBudget) {
  ASSERT_OK_AND_ASSIGN(
      const std::string text,
      ReportText(R"({"method": "magnitude", "dry_run": true, "task": {"loss": "cross_entropy"},
                     "sparsity": {"latency_requested": {"ratio": 0.25, "batch": 64},
                                  "reached": 0.8, "block": [16, 8], "budget": "latency"},
                     "costs": {"training_estimate_seconds": 90.5,
                               "memory_estimate_bytes": 3145728}})"));
  EXPECT_THAT(text, HasSubstr("training would take about 90.5 s and 3.0 MiB"));
  EXPECT_THAT(text, Not(HasSubstr("trained on")));
  EXPECT_THAT(text,
              HasSubstr("latency requested 25.00 % of the dense model's at batch 64; sparsity "
                        "reached 80.00 % of all weights; blocks of 16x8, budget latency"));
}

TEST(ReportText, ShowsABudgetOfBytes) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "magnitude", "task": {"loss": "cross_entropy"},
                     "sparsity": {"reached": 0.8, "block": [16, 8], "budget": "erk"},
                     "size": {"parameters": {"dense": 1000, "reached": 200},
                              "bytes": {"dense": 4000, "reached": 900, "requested": 1000},
                              "flops": 5}})"));
  EXPECT_THAT(text, HasSubstr("\nsparsity reached 80.00 % of all weights; blocks of 16x8, budget "
                              "erk\n"));
  EXPECT_THAT(text, HasSubstr("size        dense  reached  requested\n"));
  EXPECT_THAT(text, HasSubstr("parameters  1,000      200          -\n"
                              "bytes       4,000      900      1,000\n"));
}

TEST(ReportText, ShowsAnAccuracyBound) {
  const auto with_bound = [](const std::string& bound) {
    return ReportText(R"({"method": "iht", "task": {}, "accuracy_bound": )" + bound + "}").value();
  };
  EXPECT_THAT(with_bound(R"({"metric": "log_loss", "at_most": 0.5, "met": true, "step": 1200})"),
              HasSubstr("\nbound log_loss of at most 0.5: met by the model of step 1,200\n"));
  EXPECT_THAT(with_bound(R"({"metric": "accuracy", "at_least": 0.75, "met": false, "step": 9})"),
              HasSubstr("\nbound accuracy of at least 0.75: met by no model\n"));
  EXPECT_THAT(with_bound(R"({"metric": "log_loss", "at_most": null, "met": false, "step": 9})"),
              HasSubstr("\nbound log_loss of at most -: met by no model\n"));
}

TEST(ReportText, ShowsWhereTheTimeOfABenchmarkGoes) {
  ASSERT_OK_AND_ASSIGN(
      const std::string text,
      ReportText(R"({"method": "benchmark", "task": {"loss": ""}, "latency": [{"batch": 8,
                     "dense": {"p50_seconds": 0.01, "p95_seconds": 0.02,
                               "examples_per_second": 800.0},
                     "nodes": [{"node": "Gemm node 'fc1'", "dense_seconds": 0.004,
                                "block_sparse_seconds": 0.001}, 5]}]})"));
  EXPECT_THAT(text, testing::StartsWith("method benchmark\n\nlatency, ms"));
  EXPECT_THAT(text, HasSubstr("Gemm node 'fc1'   4.00          1.00\n"));
  EXPECT_THAT(text, HasSubstr("  800  "));
}

TEST(ReportText, ShowsWhatTheNarrowerModelLost) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "magnitude", "shrunk": {"file": "model.shrunk.onnx",
                     "bytes": 2048, "parameters": {"before": 12345, "after": 1234},
                     "tensors": [{"name": "fc1.weight", "before": [32, 8], "after": [8, 8]}]}})"));
  EXPECT_THAT(text, HasSubstr("\nmodel.shrunk.onnx: 1,234 of 12,345 parameters, 2.0 KiB, without "
                              "what pruning emptied\n"));
  EXPECT_THAT(text, HasSubstr("fc1.weight  32x8    8x8\n"));
}

TEST(ReportText, ADenseJobHasNoSparsityLine) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "dense", "sparsity": {"reached": 0.0}})"));
  EXPECT_THAT(text, Not(HasSubstr("sparsity")));
}

TEST(ReportText, SaysWhenAttemptsWereNotAlike) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"method": "dense", "bit_exact": false})"));
  EXPECT_THAT(text, HasSubstr("not bit-exact"));
}

class NoReports : public testing::TestWithParam<const char*> {};

TEST_P(NoReports, AreRefused) {
  EXPECT_THAT(ReportText(GetParam()), StatusIs(absl::StatusCode::kInvalidArgument));
}

INSTANTIATE_TEST_SUITE_P(ReportText, NoReports,
                         testing::Values("", "[]", "{", "{}", "null", R"({"method": 7})",
                                         "\xFF\xFE"));

class OddReports : public testing::TestWithParam<const char*> {};

// Fields of other types than expected are left out; nothing throws.
TEST_P(OddReports, AreShownAsFarAsTheyGo) { EXPECT_OK(ReportText(GetParam()).status()); }

INSTANTIATE_TEST_SUITE_P(
    ReportText, OddReports,
    testing::Values(
        R"({"method": "m", "task": [], "metrics": 5, "sparsity": "x", "layers": {}, "phases": 0})",
        R"({"method": "m", "layers": [1, null, {"name": 5, "shape": "x", "sparsity": "y"}]})",
        R"({"method": "m", "metrics": {"given": {"accuracy": null}}, "files": [[]]})",
        R"({"method": "m", "sparsity": {"requested": 0.5, "block": ["a", {}]}})",
        R"({"method": "m", "latency": [7, {"batch": "x", "dense": 1, "speedup": null}]})",
        R"({"method": "m", "latency": [{"break_even_sparsity": {"a": "x"}}], "layers": [7]})",
        R"({"method": "m", "shrunk": {"tensors": [1, {"name": 2, "before": "x"}]}})",
        R"({"method": "m", "layers": [{"dense_bytes": 1e300, "blocks_total": -1e300}]})"));

}  // namespace
}  // namespace topiary
