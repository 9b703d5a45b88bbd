#include "client/cli/messages.h"

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

TEST(ParseSpec, ReadsJsonInBothSpellings) {
  ASSERT_OK_AND_ASSIGN(
      const v1::CompressionSpec spec,
      ParseSpec("a.json", R"({"target": {"block_rows": 8, "blockCols": 4, "sparsity": 0.5}})"));
  EXPECT_EQ(spec.target().block_rows(), 8);
  EXPECT_EQ(spec.target().block_cols(), 4);
}

TEST(ParseSpec, ReadsTextFormat) {
  ASSERT_OK_AND_ASSIGN(
      const v1::CompressionSpec spec,
      ParseSpec("a.textproto", "target { sparsity: 0.9 }  # most of it\ndense {}"));
  EXPECT_EQ(spec.target().sparsity(), 0.9);
  EXPECT_TRUE(spec.has_dense());
}

TEST(ParseSpec, WhatItWritesItReads) {
  v1::CompressionSpec spec;
  spec.mutable_task()->set_epochs(3);
  spec.mutable_magnitude()->mutable_one_shot();
  (*spec.mutable_labels())["team"] = "vision";
  ASSERT_OK_AND_ASSIGN(const v1::CompressionSpec again, ParseSpec("x.json", ToJson(spec)));
  EXPECT_EQ(again.SerializeAsString(), spec.SerializeAsString());
}

struct WrongSpecCase {
  const char* name;
  const char* file;
  const char* text;
  const char* message;
};

class WrongSpecs : public testing::TestWithParam<WrongSpecCase> {};

TEST_P(WrongSpecs, SayWhereTheyAreWrong) {
  EXPECT_THAT(ParseSpec(GetParam().file, GetParam().text),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    ParseSpec, WrongSpecs,
    testing::Values(WrongSpecCase{"UnknownJsonField", "s.json", R"({"tarket": {}})", "tarket"},
                    WrongSpecCase{"CutJson", "s.json", R"({"target": )", "s.json: "},
                    WrongSpecCase{"WrongJsonType", "s.json", R"({"priority": "high"})", "priority"},
                    WrongSpecCase{"UnknownTextField", "s.txt", "model {}\n tarket {}", "s.txt:2:"},
                    WrongSpecCase{"TwoMethods", "s.txt", "dense {} evaluate {}", "s.txt:1:"},
                    WrongSpecCase{"UnknownEnum", "s.txt", "task { loss: HINGE }", "HINGE"}),
    [](const auto& info) { return info.param.name; });

TEST(Names, AreTheWordsWithoutTheirPrefix) {
  EXPECT_EQ(StateName(v1::JOB_STATE_QUEUED), "queued");
  EXPECT_EQ(ReasonName(v1::JOB_REASON_LEASE_LOST), "lease_lost");
}

TEST(Names, AValueOfALaterVersionIsItsNumber) {
  EXPECT_EQ(StateName(static_cast<v1::JobState>(99)), "99");
}

TEST(Names, StatesAreReadInAnyCase) {
  EXPECT_THAT(ParseState("Failed"), IsOkAndHolds(v1::JOB_STATE_FAILED));
  EXPECT_THAT(ParseState("done"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("succeeded")));
}

TEST(Names, SchedulesOfMagnitudeAreToldApart) {
  v1::CompressionSpec spec;
  EXPECT_EQ(MethodName(spec), "");
  spec.mutable_magnitude();
  EXPECT_EQ(MethodName(spec), "magnitude");
  spec.mutable_magnitude()->mutable_one_shot();
  EXPECT_EQ(MethodName(spec), "magnitude_one_shot");
  spec.mutable_magnitude()->mutable_iterative();
  EXPECT_EQ(MethodName(spec), "magnitude_iterative");
}

}  // namespace
}  // namespace topiary
