#include "worker/export/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace topiary {
namespace {

JobReport SampleReport() {
  JobReport report;
  report.method = "sequential_attention_pp";
  report.loss = "cross_entropy";
  report.seed = 18446744073709551615U;
  report.given_metrics = {{"accuracy", 0.1}};
  report.pruned_metrics = {{"accuracy", 0.9}, {"auc", std::nan("")}};
  report.sparsity_requested = 0.9;
  report.block = {16, 8};
  report.budget = "uniform";
  LayerReport pruned;
  pruned.name = "fc1.weight";
  pruned.shape = Shape({100, 200});
  pruned.elements = 20000;
  pruned.zero_elements = 18000;
  pruned.blocks_total = 100;
  pruned.blocks_live = 10;
  pruned.pruned = true;
  pruned.sparsity_requested = 0.9;
  LayerReport dense;
  dense.name = "head.weight";
  dense.elements = 5000;
  dense.dense_reason = "7 blocks, fewer than 100";
  report.layers = {pruned, dense};
  report.phases = {{"dense", 0, 20}, {"sparsification", 20, 70}, {"sparse", 70, 100}};
  report.costs.samples = 1000;
  report.costs.training_seconds = 2;
  return report;
}

TEST(Report, CountsZeroElementsOverAllLayersDenseOnesIncluded) {
  EXPECT_DOUBLE_EQ(SparsityReached(SampleReport().layers), 18000.0 / 25000);
  EXPECT_EQ(SparsityReached({}), 0);
}

TEST(Report, IsJsonWithWhatWasMeasured) {
  const nlohmann::json json = nlohmann::json::parse(ReportJson(SampleReport()));
  EXPECT_EQ(json["metrics"]["given"]["accuracy"], 0.1);
  EXPECT_EQ(json["metrics"]["pruned"]["accuracy"], 0.9);
  EXPECT_FALSE(json["metrics"].contains("dense"));
  EXPECT_EQ(json["sparsity"]["requested"], 0.9);
  EXPECT_DOUBLE_EQ(json["sparsity"]["reached"], 0.72);
  EXPECT_EQ(json["sparsity"]["block"][1], 8);
  EXPECT_EQ(json["layers"][0]["blocks_live"], 10);
  EXPECT_EQ(json["layers"][0]["sparsity"], 0.9);
  EXPECT_EQ(json["layers"][0]["sparsity_requested"], 0.9);
  EXPECT_FALSE(json["layers"][1].contains("sparsity_requested"));
  EXPECT_EQ(json["layers"][1]["dense_reason"], "7 blocks, fewer than 100");
  EXPECT_EQ(json["phases"][1]["begin"], 20);
  EXPECT_EQ(json["costs"]["samples_per_second"], 500);
  EXPECT_EQ(json["task"]["seed"], 18446744073709551615U);
}

TEST(Report, GivesTheSpeedupOfTheMedians) {
  JobReport report = SampleReport();
  LatencyReport one;
  one.batch = 1;
  one.runs = 50;
  one.dense = {0.004, 0.005};
  LatencyReport many = one;
  many.batch = 64;
  many.block_sparse = {0.001, 0.006};
  many.sparse_weights = {"fc1.weight"};
  report.latency = {one, many};
  const nlohmann::json json = nlohmann::json::parse(ReportJson(report))["latency"];
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["dense"]["p95_seconds"], 0.005);
  EXPECT_FALSE(json[0].contains("block_sparse"));
  EXPECT_EQ(json[1]["batch"], 64);
  EXPECT_DOUBLE_EQ(json[1]["speedup"], 4);
  EXPECT_EQ(json[1]["sparse_weights"][0], "fc1.weight");
}

TEST(Report, SaysWhatTheNarrowerModelLost) {
  JobReport report = SampleReport();
  EXPECT_FALSE(nlohmann::json::parse(ReportJson(report)).contains("shrunk"));
  report.shrunk = {"model.shrunk.onnx", 512, 1000, 100, {{"fc1.weight", {8, 4}, {2, 4}}}};
  const nlohmann::json json = nlohmann::json::parse(ReportJson(report))["shrunk"];
  EXPECT_EQ(json["file"], "model.shrunk.onnx");
  EXPECT_EQ(json["bytes"], 512);
  EXPECT_EQ(json["parameters"]["before"], 1000);
  EXPECT_EQ(json["parameters"]["after"], 100);
  EXPECT_EQ(json["tensors"][0]["name"], "fc1.weight");
  EXPECT_EQ(json["tensors"][0]["after"][0], 2);
}

TEST(Report, WritesNaNAsNull) {
  const nlohmann::json json = nlohmann::json::parse(ReportJson(SampleReport()));
  EXPECT_TRUE(json["metrics"]["pruned"]["auc"].is_null());
}

TEST(Report, DiffersBetweenRunsInLatencyCostsAndEnvironmentAlone) {
  JobReport other = SampleReport();
  other.costs.training_seconds = 5;
  other.environment.threads = 7;
  other.latency.push_back({1, 5, {0.1, 0.2}, std::nullopt, {}});
  nlohmann::json a = nlohmann::json::parse(ReportJson(SampleReport()));
  nlohmann::json b = nlohmann::json::parse(ReportJson(other));
  EXPECT_NE(a, b);
  for (nlohmann::json* json : {&a, &b}) {
    json->erase("latency");
    json->erase("costs");
    json->erase("environment");
  }
  EXPECT_EQ(a, b);
}

TEST(Report, SurvivesNamesThatAreNotUtf8) {
  JobReport report = SampleReport();
  report.layers[0].name = "bad\xff";
  EXPECT_TRUE(nlohmann::json::accept(ReportJson(report)));
}

}  // namespace
}  // namespace topiary
