#include "common/logging.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "common/status_matchers.h"

namespace topiary {
namespace {

const absl::Time kTime = absl::FromUnixMillis(1767225600123);

std::string Json(absl::string_view message, LogFields fields) {
  return FormatLogLine(LogFormat::kJson, kTime, LogLevel::kInfo, message, fields);
}
std::string Text(absl::string_view message, LogFields fields) {
  return FormatLogLine(LogFormat::kText, kTime, LogLevel::kWarning, message, fields);
}

TEST(FormatLogLine, TextHasTimeLevelMessageAndFields) {
  EXPECT_EQ(Text("attempt leased", {{"job", "j-1"}, {"attempt", 2}, {"late", false}}),
            "2026-01-01T00:00:00.123Z warning attempt leased job=j-1 attempt=2 late=false");
}

TEST(FormatLogLine, TextQuotesValuesWithBlanks) {
  EXPECT_EQ(Text("m", {{"reason", "no such file"}, {"empty", ""}}),
            "2026-01-01T00:00:00.123Z warning m reason=\"no such file\" empty=\"\"");
}

TEST(FormatLogLine, JsonKeepsNumbersAsNumbers) {
  EXPECT_EQ(Json("done", {{"steps", 7}, {"ok", true}, {"job", "7"}}),
            "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"info\",\"message\":\"done\","
            "\"steps\":7,\"ok\":true,\"job\":\"7\"}");
}

TEST(FormatLogLine, JsonHasNoLiteralForInfinities) {
  const auto parsed =
      nlohmann::json::parse(Json("m", {{"loss", std::numeric_limits<double>::infinity()},
                                       {"nan", std::numeric_limits<double>::quiet_NaN()}}));
  EXPECT_EQ(parsed["loss"], "inf");
  EXPECT_EQ(parsed["nan"], "nan");
}

// Whatever a stranger sends, an event stays one line and JSON stays valid.
class HostileValue : public testing::TestWithParam<std::string> {};

TEST_P(HostileValue, StaysInItsLineAndField) {
  const std::string json = Json(GetParam(), {{"value", GetParam()}});
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_TRUE(nlohmann::json::accept(json)) << json;
  const std::string text = Text(GetParam(), {{"value", GetParam()}});
  for (const char c : text) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << text;
}

INSTANTIATE_TEST_SUITE_P(All, HostileValue,
                         testing::Values("two\nlines", "quote\"and\\back", "\x1b[31mred",
                                         std::string("nul\0x", 5), "\xff\xfe", "cut \xe2\x82",
                                         "overlong \xc0\xaf", "surrogate \xed\xa0\x80",
                                         "beyond \xf4\x90\x80\x80", "\x7f"));

TEST(FormatLogLine, ValidUtf8IsKept) {
  EXPECT_EQ(nlohmann::json::parse(Json("m", {{"v", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\xb3"}}))["v"],
            "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\xb3");
}

TEST(Log, WritesFromTheLevelAskedForOn) {
  testing::internal::CaptureStderr();
  LogInit({LogFormat::kJson, LogLevel::kWarning});
  LogInfo("dropped");
  LogError("kept", {{"code", 3}});
  const std::string output = testing::internal::GetCapturedStderr();
  EXPECT_THAT(output, testing::HasSubstr("\"message\":\"kept\",\"code\":3}\n"));
  EXPECT_THAT(output, testing::Not(testing::HasSubstr("dropped")));
}

TEST(Log, HasTheFieldsOfTheScopesOfItsThread) {
  LogInit({LogFormat::kJson, LogLevel::kInfo});
  testing::internal::CaptureStderr();
  {
    const ScopedLogFields job({{"job", "j"}, {"attempt", 2}});
    {
      const ScopedLogFields layer({{"layer", "fc1"}});
      LogInfo("inner", {{"code", 3}});
    }
    LogInfo("outer");
    std::thread([] { LogInfo("elsewhere"); }).join();
  }
  LogInfo("after");
  const std::string output = testing::internal::GetCapturedStderr();
  EXPECT_THAT(output, testing::HasSubstr(
                          "\"inner\",\"job\":\"j\",\"attempt\":2,\"layer\":\"fc1\",\"code\":3}\n"));
  EXPECT_THAT(output, testing::HasSubstr("\"outer\",\"job\":\"j\",\"attempt\":2}\n"));
  EXPECT_THAT(output, testing::HasSubstr("\"elsewhere\"}\n"));
  EXPECT_THAT(output, testing::HasSubstr("\"after\"}\n"));
}

TEST(ParseLogOptions, TakeTheirNamesAndListThemOtherwise) {
  EXPECT_THAT(ParseLogLevel("warning"), IsOkAndHolds(LogLevel::kWarning));
  EXPECT_THAT(ParseLogFormat("json"), IsOkAndHolds(LogFormat::kJson));
  EXPECT_THAT(ParseLogLevel("loud"),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("debug, info")));
  EXPECT_THAT(ParseLogFormat("JSON"),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("text, json")));
}

}  // namespace
}  // namespace topiary
