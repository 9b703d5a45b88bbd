#include "server/config.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ServerConfig, OnlyTheDataFolderIsRequired) {
  ASSERT_OK_AND_ASSIGN(const ServerCommandLine parsed,
                       ParseServerCommandLine({"--data-dir", "/data"}));
  EXPECT_EQ(parsed.config.listen, "127.0.0.1:7070");
  EXPECT_EQ(parsed.config.metrics_listen, "127.0.0.1:7071");
  EXPECT_EQ(parsed.config.lease_duration, absl::Seconds(30));
  EXPECT_EQ(parsed.text, "");
}

TEST(ServerConfig, FlagsAreRead) {
  ASSERT_OK_AND_ASSIGN(const ServerCommandLine parsed,
                       ParseServerCommandLine(
                           {"--data-dir=/d", "--listen=[::1]:0", "--metrics-listen=none",
                            "--lease-duration=3s", "--report-interval=100ms", "--same-key-wait=1h",
                            "--max-artifact-bytes=2GiB", "--threads=2", "--log-format=json",
                            "--log-level=debug", "--reflection=false", "--port-file=/p"}));
  EXPECT_EQ(parsed.config.listen, "[::1]:0");
  EXPECT_EQ(parsed.config.metrics_listen, "none");
  EXPECT_EQ(parsed.config.lease_duration, absl::Seconds(3));
  EXPECT_EQ(parsed.config.report_interval, absl::Milliseconds(100));
  EXPECT_EQ(parsed.config.same_key_wait, absl::Hours(1));
  EXPECT_EQ(parsed.config.max_artifact_bytes, int64_t{2} << 30);
  EXPECT_EQ(parsed.config.threads, 2);
  EXPECT_EQ(parsed.config.log_format, LogFormat::kJson);
  EXPECT_EQ(parsed.config.log_level, LogLevel::kDebug);
  EXPECT_FALSE(parsed.config.reflection);
  EXPECT_EQ(parsed.config.port_file, "/p");
}

TEST(ServerConfig, TheEnvironmentIsReadAndFlagsWin) {
  setenv("TOPIARY_DATA_DIR", "/from/environment", 1);
  setenv("TOPIARY_LISTEN", "127.0.0.1:1", 1);
  const auto parsed = ParseServerCommandLine({"--listen", "127.0.0.1:2"});
  unsetenv("TOPIARY_DATA_DIR");
  unsetenv("TOPIARY_LISTEN");
  ASSERT_OK(parsed);
  EXPECT_EQ(parsed->config.data_dir, "/from/environment");
  EXPECT_EQ(parsed->config.listen, "127.0.0.1:2");
}

TEST(ServerConfig, AnEmptyMetricsAddressMeansNowhere) {
  EXPECT_OK(ParseServerCommandLine({"--data-dir=/d", "--metrics-listen", ""}));
}

TEST(ServerConfig, HelpAndVersionAreTexts) {
  ASSERT_OK_AND_ASSIGN(const ServerCommandLine help, ParseServerCommandLine({"--help"}));
  EXPECT_THAT(help.text, AllOf(HasSubstr("--data-dir"), HasSubstr("TOPIARY_DATA_DIR")));
  ASSERT_OK_AND_ASSIGN(const ServerCommandLine version, ParseServerCommandLine({"--version"}));
  EXPECT_THAT(version.text, HasSubstr("topiary-server 0."));
}

struct WrongFlag {
  const char* name;
  std::vector<std::string> flags;
  const char* message;
};

class WrongServerConfig : public testing::TestWithParam<WrongFlag> {};

TEST_P(WrongServerConfig, IsRefusedWithTheFlagsName) {
  std::vector<std::string> flags = GetParam().flags;
  flags.push_back("--data-dir=/d");
  EXPECT_THAT(ParseServerCommandLine(flags),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Flags, WrongServerConfig,
    testing::Values(WrongFlag{"UnknownFlag", {"--lisen=x"}, "--lisen"},
                    WrongFlag{"StrayArgument", {"x"}, "x"},
                    WrongFlag{"NoPort", {"--listen=localhost"}, "--listen must be host:port"},
                    WrongFlag{"HugePort", {"--listen=localhost:70000"}, "--listen"},
                    WrongFlag{"NoHost", {"--metrics-listen=:80"}, "--metrics-listen"},
                    WrongFlag{"NoDuration", {"--lease-duration=30"}, "--lease-duration"},
                    WrongFlag{"ShortLease", {"--lease-duration=2s"}, "three report intervals"},
                    WrongFlag{"NegativeDrain", {"--drain-timeout=-1s"}, "--drain-timeout"},
                    WrongFlag{"EndlessWait", {"--same-key-wait=inf"}, "--same-key-wait"},
                    WrongFlag{"NoThreads", {"--threads=0"}, "--threads"},
                    WrongFlag{"ThreadsInWords", {"--threads=many"}, "--threads"},
                    WrongFlag{"NoJobs", {"--max-live-jobs=0"}, "--max-live-jobs"},
                    WrongFlag{"NoBytes", {"--max-artifact-bytes=0"}, "--max-artifact-bytes"},
                    WrongFlag{"UnknownFormat", {"--log-format=xml"}, "json"},
                    WrongFlag{"UnknownLevel", {"--log-level=loud"}, "warning"}),
    [](const testing::TestParamInfo<WrongFlag>& info) { return info.param.name; });

TEST(ServerConfig, AMissingDataFolderIsAskedFor) {
  EXPECT_THAT(ParseServerCommandLine({}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data-dir is required")));
}

}  // namespace
}  // namespace topiary
