#include "worker/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/status_matchers.h"

namespace topiary {
namespace {

absl::StatusOr<WorkerConfig> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "topiary-worker");
  return ParseWorkerConfig(static_cast<int>(arguments.size()), arguments.data());
}

TEST(WorkerConfig, DefaultsMakeAWorkerOfAllProcessors) {
  ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Parse({}));
  EXPECT_EQ(config.slots, 1);
  EXPECT_EQ(config.threads, AvailableProcessors());
  EXPECT_FALSE(config.worker_name.empty());
}

// A worker started anew by hand, its forerunner still at work, must be another to the coordinator:
// leases are told apart by the id.
TEST(WorkerConfig, TwoProcessesOfOneNameHaveTwoIds) {
  ASSERT_OK_AND_ASSIGN(const WorkerConfig one, Parse({"--worker-name", "rack-7_"}));
  ASSERT_OK_AND_ASSIGN(const WorkerConfig two, Parse({"--worker-name", "rack-7_"}));
  EXPECT_THAT(one.worker_id, testing::MatchesRegex("rack-7_-[0-9a-f]{8}"));
  EXPECT_NE(one.worker_id, two.worker_id);
}

TEST(WorkerConfig, SlotsShareTheProcessors) {
  ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Parse({"--slots", "64"}));
  EXPECT_EQ(config.threads, std::max(1, AvailableProcessors() / 64));
}

TEST(WorkerConfig, AFlagWinsOverItsVariable) {
  setenv("TOPIARY_WORKER_COORDINATOR", "from-variable:1", 1);
  setenv("TOPIARY_WORKER_DATA_DIR", "from-variable", 1);
  ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Parse({"--coordinator", "from-flag:1"}));
  EXPECT_EQ(config.coordinator, "from-flag:1");
  EXPECT_EQ(config.data_dir, "from-variable");
  unsetenv("TOPIARY_WORKER_COORDINATOR");
  unsetenv("TOPIARY_WORKER_DATA_DIR");
}

TEST(WorkerConfig, MetricsMayBeServedNowhere) {
  ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Parse({"--metrics-listen", "none"}));
  EXPECT_EQ(config.metrics_listen, "");
}

TEST(WorkerConfig, TakesEachInstructionSetThatAWorkerReports) {
  for (const char* isa : {"sse41", "avx2_vnni", "avx2_vnni_2", "avx512_core_amx_fp16"}) {
    ASSERT_OK_AND_ASSIGN(const WorkerConfig config, Parse({"--isa", isa}));
    EXPECT_EQ(config.isa, isa);
  }
}

TEST(AvailableMemoryBytes, IsThatOfARealMachine) {
  EXPECT_GT(AvailableMemoryBytes(), int64_t{64} << 20);
}

struct Bad {
  const char* name;
  const char* flag;
  const char* value;
};

class BadWorkerFlag : public testing::TestWithParam<Bad> {};

TEST_P(BadWorkerFlag, IsRefusedByName) {
  EXPECT_THAT(Parse({GetParam().flag, GetParam().value}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr(GetParam().name)));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadWorkerFlag,
    testing::Values(Bad{"slots", "--slots", "0"}, Bad{"slots", "--slots", "65"},
                    Bad{"slots", "--slots", "two"}, Bad{"threads", "--threads", "-1"},
                    Bad{"isa", "--isa", "avx9000"}, Bad{"worker-name", "--worker-name", "a/b"},
                    Bad{"worker-name", "--worker-name", "-a"}, Bad{"cache", "--cache-bytes", "-5"},
                    Bad{"metrics-listen", "--metrics-listen", "nowhere"},
                    Bad{"memory", "--memory-bytes", "-5"},
                    Bad{"drain-timeout", "--drain-timeout", "30"},
                    Bad{"checkpoint-interval", "--checkpoint-interval", "-1s"},
                    Bad{"coordinator", "--coordinator", ""}, Bad{"json", "--log-format", "xml"},
                    Bad{"no-such-flag", "--no-such-flag", "1"}));

TEST(ProcessorsOfQuota, RoundsUpAndIgnoresWhatIsNoQuota) {
  EXPECT_EQ(ProcessorsOfQuota("150000 100000\n"), 2);
  EXPECT_EQ(ProcessorsOfQuota("50000 100000\n"), 1);
  EXPECT_EQ(ProcessorsOfQuota("max 100000\n"), 0);
  EXPECT_EQ(ProcessorsOfQuota(""), 0);
  EXPECT_EQ(ProcessorsOfQuota("nan 0"), 0);
}

}  // namespace
}  // namespace topiary
