#include "server/api/sweep_report.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/digest.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/spec.pb.h"

namespace topiary {
namespace {

using Json = nlohmann::json;
using google::protobuf::TextFormat;
using testing::ElementsAre;

class SweepReportTest : public testing::Test {
 protected:
  SweepReportTest() {
    sweep_.project = "p";
    sweep_.id = "s";
  }

  // A child that succeeded; `result` in text format.
  Job* Add(const std::string& spec, const std::string& result) {
    v1::CompressionSpec parsed_spec;
    EXPECT_TRUE(TextFormat::ParseFromString(spec, &parsed_spec)) << spec;
    v1::JobResult parsed_result;
    EXPECT_TRUE(TextFormat::ParseFromString(result, &parsed_result)) << result;
    Job job;
    job.project = "p";
    job.id = absl::StrFormat("s-%04d", children_.size() + 1);
    job.parent = "s";
    job.state = JobState::kSucceeded;
    job.spec = parsed_spec.SerializeAsString();
    job.result = parsed_result.SerializeAsString();
    children_.push_back(job);
    return &children_.back();
  }

  static std::string Spec(double sparsity, int seed, const std::string& more = "") {
    return absl::StrCat(
        "magnitude { one_shot { at_fraction: 0 } } task { metrics: ACCURACY seed: ", seed, more,
        "} target { sparsity: ", sparsity, " block_rows: 8 block_cols: 4 }");
  }

  static std::string Result(double accuracy, double sparsity, int bytes) {
    return absl::StrCat("pruned_metrics { key: 'accuracy' value: ", accuracy,
                        " } given_metrics { key: 'accuracy' value: 0.1 } sparsity_reached: ",
                        sparsity, " bit_exact: true files { kind: ONNX filename: 'model.onnx' ",
                        "digest: 'd1' size_bytes: 1000 } files { kind: BLOCK_SPARSE filename: ",
                        "'model.safetensors' digest: 'd2' size_bytes: ", bytes,
                        " } files { kind: REPORT filename: 'report.json' size_bytes: 7 }");
  }

  Json Report() {
    report_ = MakeSweepReport(sweep_, children_);
    return Json::parse(report_.json);
  }

  static std::vector<std::string> FrontOf(const Json& rows, const char* key) {
    std::vector<std::string> front;
    for (const Json& row : rows) {
      if (row.value("front", false)) front.push_back(row[key].dump());
    }
    return front;
  }

  Job sweep_;
  std::vector<Job> children_;
  SweepReport report_;
};

TEST_F(SweepReportTest, AChildsRowSaysWhatItWasToDoAndWhatItCameTo) {
  Add(Spec(0.9, 3), Result(0.8, 0.85, 300));
  const Json report = Report();
  EXPECT_EQ(report["format"], "topiary-sweep-report");
  EXPECT_EQ(report["sweep"], "projects/p/jobs/s");
  EXPECT_EQ(report["metric"], Json({{"name", "accuracy"}, {"better", "higher"}}));
  const Json& row = report["children"][0];
  EXPECT_EQ(row["job"], "projects/p/jobs/s-0001");
  EXPECT_EQ(row["state"], "SUCCEEDED");
  EXPECT_EQ(row["method"], "magnitude");
  EXPECT_EQ(row["method_index"], 0);
  EXPECT_EQ(report["methods"], Json::parse(R"([{"name": "magnitude",
                                               "options": {"one_shot": {"at_fraction": 0}}}])"));
  EXPECT_EQ(row["sparsity_requested"], 0.9);
  EXPECT_EQ(row["block"], Json({8, 4}));
  EXPECT_EQ(row["seed"], 3);
  EXPECT_EQ(row["sparsity_reached"], 0.85);
  EXPECT_EQ(row["metrics"]["pruned"]["accuracy"], 0.8);
  EXPECT_EQ(row["metrics"]["given"]["accuracy"], 0.1);
  EXPECT_EQ(row["bytes"], 300) << "of its smallest model";
  EXPECT_EQ(row["files"].size(), 3);
  EXPECT_EQ(row["files"][1]["kind"], "BLOCK_SPARSE");
  EXPECT_EQ(row["bit_exact"], true);
}

TEST_F(SweepReportTest, TheFrontIsOverAccuracySparsityAndBytes) {
  Add(Spec(0.5, 0), Result(0.90, 0.5, 500));
  Add(Spec(0.8, 0), Result(0.85, 0.8, 200));
  Add(Spec(0.9, 0), Result(0.85, 0.9, 200));  // Beats the one before.
  Add(Spec(0.95, 0), Result(0.2, 0.95, 100));
  EXPECT_THAT(FrontOf(Report()["children"], "sparsity_requested"),
              ElementsAre("0.5", "0.9", "0.95"));
}

TEST_F(SweepReportTest, WhereLowerIsBetterTheFrontIsTurnedOver) {
  for (const double loss : {0.3, 0.2}) {
    v1::CompressionSpec spec;
    spec.mutable_dense();
    spec.mutable_task()->add_metrics(v1::Task::LOG_LOSS);
    spec.mutable_task()->set_seed(children_.size());
    Add(spec.ShortDebugString(),
        absl::StrCat("dense_metrics { key: 'log_loss' value: ", loss, " }"));
  }
  const Json report = Report();
  EXPECT_EQ(report["metric"]["better"], "lower");
  EXPECT_THAT(FrontOf(report["children"], "seed"), ElementsAre("1"));
  EXPECT_FALSE(report["children"][0].contains("bytes")) << "it left no model";
}

TEST_F(SweepReportTest, ChildrenThatDifferInTheirSeedAloneAreAveraged) {
  Add(Spec(0.5, 1), Result(0.80, 0.5, 500));
  Add(Spec(0.5, 2), Result(0.90, 0.5, 520));
  Add(Spec(0.9, 1), Result(0.70, 0.9, 100));
  const Json groups = Report()["groups"];
  ASSERT_EQ(groups.size(), 2);
  EXPECT_EQ(groups[0]["seeds"], Json({1, 2}));
  EXPECT_EQ(groups[0]["jobs"], Json({"projects/p/jobs/s-0001", "projects/p/jobs/s-0002"}));
  EXPECT_EQ(groups[0]["succeeded"], 2);
  const Json& accuracy = groups[0]["metrics"]["accuracy"];
  EXPECT_DOUBLE_EQ(accuracy["mean"], 0.85);
  EXPECT_NEAR(accuracy["standard_deviation"], std::sqrt(0.005), 1e-12);  // sqrt(2 * 0.05^2 / 1)
  EXPECT_EQ(accuracy["minimum"], 0.80);
  EXPECT_EQ(accuracy["maximum"], 0.90);
  EXPECT_DOUBLE_EQ(groups[0]["bytes"]["mean"], 510);
  EXPECT_EQ(groups[1]["succeeded"], 1);
  EXPECT_FALSE(groups[1]["metrics"]["accuracy"].contains("standard_deviation"))
      << "one value has none";
  EXPECT_THAT(FrontOf(groups, "sparsity_requested"), ElementsAre("0.5", "0.9"));
}

TEST_F(SweepReportTest, AMeanIsOnTheFrontThoughItsBestSeedIsBeaten) {
  Add(Spec(0.5, 1), Result(0.95, 0.5, 500));
  Add(Spec(0.5, 2), Result(0.55, 0.5, 500));
  Add(Spec(0.5, 1, " batch_size: 9 "), Result(0.80, 0.5, 500));
  Add(Spec(0.5, 2, " batch_size: 9 "), Result(0.80, 0.5, 500));
  const Json report = Report();
  EXPECT_THAT(FrontOf(report["children"], "job"), ElementsAre("\"projects/p/jobs/s-0001\""));
  EXPECT_FALSE(report["groups"][0]["front"]);
  EXPECT_TRUE(report["groups"][1]["front"]);
}

// (0.8 + 0.8 + 0.8) / 3 is more than 0.8.
TEST_F(SweepReportTest, NoGroupIsOnTheFrontByARoundingOfItsMean) {
  for (int seed = 1; seed <= 3; ++seed) Add(Spec(0.8, seed), Result(0.80, 0.8, 500));
  for (int seed = 1; seed <= 2; ++seed) {
    Add(Spec(0.8, seed, " batch_size: 9 "), Result(0.90, 0.8, 500));
  }
  const Json groups = Report()["groups"];
  EXPECT_EQ(groups[0]["sparsity_reached"]["mean"], 0.8);
  EXPECT_FALSE(groups[0]["front"]);
  EXPECT_TRUE(groups[1]["front"]);
}

TEST_F(SweepReportTest, FailuresAreListedAndLeftOutOfTheMeans) {
  Add(Spec(0.5, 1), Result(0.80, 0.5, 500));
  Job* failed = Add(Spec(0.5, 2), "");
  failed->state = JobState::kFailed;
  failed->reason = JobReason::kWorkFailed;
  failed->failure = {absl::StatusCode::kInternal, "it broke"};
  failed->result.clear();
  Add(Spec(0.9, 1), "")->state = JobState::kCancelled;
  Add(Spec(0.9, 2), "")->result = "not a message";
  const Json report = Report();
  EXPECT_EQ(report["children"][1]["state"], "FAILED");
  EXPECT_EQ(report["children"][1]["reason"], "WORK_FAILED");
  EXPECT_EQ(report["children"][1]["error"], "it broke");
  EXPECT_FALSE(report["children"][1].contains("metrics"));
  EXPECT_EQ(report["children"][2]["state"], "CANCELLED");
  EXPECT_THAT(report["children"][3]["error"], testing::HasSubstr("cannot be read"));
  EXPECT_EQ(report["groups"][0]["succeeded"], 1);
  EXPECT_EQ(report["groups"][0]["metrics"]["accuracy"]["mean"], 0.8);
  EXPECT_EQ(report["groups"][1]["succeeded"], 0);
  EXPECT_THAT(FrontOf(report["children"], "seed"), ElementsAre("1"));
}

TEST_F(SweepReportTest, WhatMissedItsAccuracyBoundSaysByHowMuchAndIsOnNoFront) {
  Add(Spec(0.5, 1), Result(0.80, 0.5, 500));
  Job* missed = Add(Spec(0.9, 1), Result(0.75, 0.9, 100));
  missed->state = JobState::kFailed;
  missed->reason = JobReason::kAccuracyBound;
  missed->failure = {absl::StatusCode::kFailedPrecondition, "not good enough"};
  const Json report = Report();
  const Json& row = report["children"][1];
  EXPECT_EQ(row["reason"], "ACCURACY_BOUND");
  EXPECT_EQ(row["error"], "not good enough");
  EXPECT_EQ(row["metrics"]["pruned"]["accuracy"], 0.75);
  EXPECT_EQ(row["files"].size(), 3) << "for whoever wants the checkpoint";
  EXPECT_EQ(report["groups"][1]["succeeded"], 0);
  EXPECT_THAT(FrontOf(report["children"], "job"), ElementsAre("\"projects/p/jobs/s-0001\""));
}

TEST_F(SweepReportTest, AMetricThatIsNotANumberIsNoneAndOnNoFront) {
  Add(Spec(0.5, 1), "pruned_metrics { key: 'accuracy' value: nan } sparsity_reached: 0.5");
  const Json report = Report();
  EXPECT_TRUE(report["children"][0]["metrics"]["pruned"]["accuracy"].is_null());
  EXPECT_FALSE(report["children"][0]["front"]);
  EXPECT_FALSE(report["groups"][0]["front"]);
}

TEST_F(SweepReportTest, EachMethodIsThereOnce) {
  for (const char* method : {"rigl {}", "rigl { drop_fraction: 0.5 }", "rigl {}", "iht {}"}) {
    Add(absl::StrCat(method, " task { seed: 1 } target { sparsity: 0.5 }"), "");
  }
  const Json report = Report();
  EXPECT_EQ(report["methods"], Json::parse(R"([{"name": "rigl", "options": {}},
                                               {"name": "rigl", "options": {"drop_fraction": 0.5}},
                                               {"name": "iht", "options": {}}])"));
  std::vector<int> of_children, of_groups;
  for (const Json& row : report["children"]) of_children.push_back(row["method_index"]);
  for (const Json& row : report["groups"]) of_groups.push_back(row["method_index"]);
  EXPECT_THAT(of_children, ElementsAre(0, 1, 0, 2));
  EXPECT_THAT(of_groups, ElementsAre(0, 1, 2));
  EXPECT_EQ(report["groups"][2]["method"], "iht");
}

// As many children as a sweep may have, of a method that takes most of what their specs may.
TEST_F(SweepReportTest, IsSmallThoughOptionsAreLong) {
  std::string phases;
  for (int i = 0; i < 1000; ++i) {
    absl::StrAppend(&phases, "phases { kind: ", i % 2 == 0 ? "SPARSIFICATION" : "SPARSE",
                    " fraction: 0.001 } ");
  }
  for (int i = 0; i < 1000; ++i) {
    Add(absl::StrCat("sequential_attention_pp { phases { ", phases,
                     "} } task { metrics: ACCURACY seed: ", i % 2,
                     " } target { sparsity: ", 0.5 + 0.0004 * (i / 2), " }"),
        Result(0.8, 0.5, 300));
  }
  const Json report = Report();
  EXPECT_EQ(report["methods"].size(), 1);
  EXPECT_EQ(report["methods"][0]["options"]["phases"]["phases"].size(), 1000);
  EXPECT_EQ(report["groups"].size(), 500);
  EXPECT_LT(report_.json.size(), 4 << 20);
}

TEST_F(SweepReportTest, TheResultNamesTheReportAndTheBytesAreTheSameEachTime) {
  Add(Spec(0.5, 1), Result(0.80, 0.5, 500));
  Job* other = Add(Spec(0.5, 2), Result(0.90, 0.5, 520));
  Report();
  v1::JobResult result;
  ASSERT_TRUE(result.ParseFromString(report_.result));
  ASSERT_EQ(result.files_size(), 1);
  EXPECT_EQ(result.files(0).kind(), v1::ResultFile::REPORT);
  EXPECT_EQ(result.files(0).filename(), "report.json");
  EXPECT_EQ(result.files(0).digest(), Sha256Hex(report_.json));
  EXPECT_EQ(result.files(0).size_bytes(), static_cast<int64_t>(report_.json.size()));
  EXPECT_TRUE(result.bit_exact());
  EXPECT_EQ(MakeSweepReport(sweep_, children_).json, report_.json);
  other->bit_exact = false;
  Report();
  ASSERT_TRUE(result.ParseFromString(report_.result));
  EXPECT_FALSE(result.bit_exact());
}

}  // namespace
}  // namespace topiary
