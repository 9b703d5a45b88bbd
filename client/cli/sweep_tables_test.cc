#include "client/cli/sweep_tables.h"

#include "client/cli/report_tables.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReport[] = R"({
  "format": "topiary-sweep-report", "format_version": 2, "sweep": "projects/p/jobs/s",
  "metric": {"name": "accuracy", "better": "higher"},
  "methods": [{"name": "magnitude", "options": {"one_shot": {}}},
              {"name": "magnitude", "options": {"gradual": {}}}],
  "children": [
    {"job": "projects/p/jobs/s-0001", "state": "SUCCEEDED", "method": "magnitude",
     "method_index": 0, "sparsity_requested": 0.9, "block": [8, 4], "seed": 1,
     "sparsity_reached": 0.85, "metrics": {"given": {"accuracy": 0.1}, "pruned": {"accuracy": 0.8}},
     "bytes": 2048, "front": true},
    {"job": "projects/p/jobs/s-0002", "state": "SUCCEEDED", "method": "magnitude",
     "method_index": 0, "sparsity_requested": 0.9, "block": [8, 4], "seed": 2,
     "sparsity_reached": 0.85, "metrics": {"pruned": {"accuracy": 0.7}}, "bytes": 2048,
     "front": false},
    {"job": "projects/p/jobs/s-0003", "state": "FAILED", "method": "magnitude",
     "method_index": 1, "sparsity_requested": 0.9, "block": [8, 4], "seed": 1,
     "error": "it broke"}],
  "groups": [
    {"method": "magnitude", "method_index": 0, "sparsity_requested": 0.9, "block": [8, 4],
     "seeds": [1, 2], "succeeded": 2,
     "metrics": {"accuracy": {"mean": 0.75, "standard_deviation": 0.0707}},
     "sparsity_reached": {"mean": 0.85}, "bytes": {"mean": 2048.0}, "front": true},
    {"method": "magnitude", "method_index": 1, "sparsity_requested": 0.9, "block": [8, 4],
     "seeds": [1], "succeeded": 0}]
})";

TEST(SweepReportText, HasTheChildrenTheMeansAndTheFront) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReportText(kReport));
  EXPECT_EQ(text,
            "sweep of 3 jobs; main metric accuracy, higher is better\n"
            "\n"
            "job     state      method                     block  requested  seed  accuracy"
            "  sparsity     size  front  error\n"
            "------  ---------  -------------------------  -----  ---------  ----  --------"
            "  --------  -------  -----  --------\n"
            "s-0001  succeeded  magnitude {\"one_shot\":{}}  8x4      90.00 %     1   80.00 %"
            "   85.00 %  2.0 KiB  *\n"
            "s-0002  succeeded  magnitude {\"one_shot\":{}}  8x4      90.00 %     2   70.00 %"
            "   85.00 %  2.0 KiB\n"
            "s-0003  failed     magnitude {\"gradual\":{}}   8x4      90.00 %     1         -"
            "         -        -         it broke\n"
            "\n"
            "mean over seeds            block  requested  jobs           accuracy  sparsity"
            "     size  front\n"
            "-------------------------  -----  ---------  ----  -----------------  --------"
            "  -------  -----\n"
            "magnitude {\"one_shot\":{}}  8x4      90.00 %   2/2  75.00 % +- 7.07 %   85.00 %"
            "  2.0 KiB  *\n"
            "magnitude {\"gradual\":{}}   8x4      90.00 %   0/1                  -         -"
            "        -\n"
            "\n"
            "* on the front: nothing is at least as good in accuracy, sparsity and size, and better"
            " in one\n");
}

TEST(SweepReportText, SeedsHaveAllTheirDigits) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReportText(R"({"format": "topiary-sweep-report",
      "children": [{"seed": 1000001}, {"seed": 18446744073709551615}]})"));
  EXPECT_THAT(text, HasSubstr("1000001"));
  EXPECT_THAT(text, HasSubstr("18446744073709551615"));
}

// As before the options of each method were there once.
TEST(SweepReportText, RowsMayHaveTheirOptionsThemselves) {
  ASSERT_OK_AND_ASSIGN(const std::string text, ReportText(R"({"format": "topiary-sweep-report",
      "children": [{"method": "iht", "options": {}}, {"method": "iht", "options": {"a": 1}},
                   {"method": "iht", "method_index": 7}]})"));
  EXPECT_THAT(text, HasSubstr("iht {\"a\":1}"));
}

TEST(SweepReportText, WhatIsMissingOrWrongIsLeftOut) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ReportText(R"({"format": "topiary-sweep-report", "children": [7, {}],
                                      "groups": "none", "metric": null})"));
  EXPECT_THAT(text, HasSubstr("sweep of 2 jobs"));
  EXPECT_THAT(text, Not(HasSubstr("on the front")));
  ASSERT_OK_AND_ASSIGN(const std::string evil, ReportText(R"({"format": "topiary-sweep-report",
                                      "children": [{"error": "\u001b[2J"}]})"));
  EXPECT_THAT(evil, Not(HasSubstr("\x1B")));
}

TEST(ChildTable, HasOneRowPerChild) {
  v1::Job done;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "projects/p/jobs/s-0001" state: JOB_STATE_SUCCEEDED
         spec { magnitude { gradual {} } task { seed: 3 }
                target { sparsity: 0.9 block_rows: 8 block_cols: 4 } }
         result { pruned_metrics { key: "accuracy" value: 0.8 } sparsity_reached: 0.85 })",
      &done));
  v1::Job waiting;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "name: 'projects/p/jobs/s-0002' state: JOB_STATE_QUEUED spec { dense {} }", &waiting));
  v1::Job failed = waiting;
  failed.set_name("projects/p/jobs/s-0003");
  failed.set_state(v1::JOB_STATE_FAILED);
  failed.mutable_error()->set_message("it broke");
  EXPECT_EQ(ChildTable({done, waiting, failed}),
            "job     state      method     block  requested  seed  step  accuracy  sparsity"
            "  error\n"
            "------  ---------  ---------  -----  ---------  ----  ----  --------  --------"
            "  --------\n"
            "s-0001  succeeded  magnitude  8x4      90.00 %     3     -   80.00 %   85.00 %\n"
            "s-0002  queued     dense      -              -     0     -         -         -\n"
            "s-0003  failed     dense      -              -     0     -         -         -"
            "  it broke\n");
}

TEST(SweepText, SaysWhatTheListsHold) {
  v1::Sweep sweep;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "sparsities: [0.5, 0.9] seeds: [1, 2] methods { magnitude { one_shot {} } } "
      "methods { rigl {} }",
      &sweep));
  EXPECT_EQ(SweepText(sweep),
            "methods     magnitude_one_shot, rigl\n"
            "sparsities  50.00 %, 90.00 %\n"
            "seeds       1, 2\n");
}

}  // namespace
}  // namespace topiary
