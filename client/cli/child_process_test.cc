#include "client/cli/child_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

std::string LogPath() {
  return testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name() +
         ".log";
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Shell(const std::string& script) {
  return ChildProcess::Start({"/bin/sh", "-c", script}, LogPath());
}

void WaitUntilEnded(ChildProcess* child) {
  while (child->Running()) sched_yield();
}

TEST(ChildProcess, ItsOutputIsInTheLogAndItsExitIsKnown) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("echo out; echo err >&2; exit 3"));
  WaitUntilEnded(child.get());
  EXPECT_EQ(child->Describe(), "exited with 3");
  EXPECT_THAT(ReadFile(LogPath()), IsOkAndHolds("out\nerr\n"));
}

TEST(ChildProcess, AMissingProgramIsNamed) {
  EXPECT_THAT(ChildProcess::Start({"/no/such/program"}, LogPath()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/program")));
}

TEST(ChildProcess, StopsAtSigterm) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("exec sleep 1000"));
  EXPECT_EQ(child->Describe(), "is running");
  child->Stop(absl::Seconds(60));
  EXPECT_EQ(child->Describe(), "was killed by signal 15");
}

TEST(ChildProcess, IsKilledIfItDoesNotListen) {
  ASSERT_OK_AND_ASSIGN(const auto child,
                       Shell("trap '' TERM; echo ready; while :; do sleep 1000; done"));
  while (ReadFile(LogPath()).value_or("").empty()) sched_yield();
  child->Stop(absl::Milliseconds(50));
  EXPECT_EQ(child->Describe(), "was killed by signal 9");
}

TEST(ChildProcess, DoesNotOutliveItsObject) {
  pid_t pid = 0;
  {
    ASSERT_OK_AND_ASSIGN(const auto child, Shell("exec sleep 1000"));
    pid = child->pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(ChildProcess, DoesNotOutliveAParentThatIsKilled) {
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const auto child = ChildProcess::Start({"/bin/sh", "-c", "exec sleep 1000"}, LogPath());
    const pid_t pid = child.ok() ? (*child)->pid() : 0;
    if (write(out[1], &pid, sizeof(pid)) < 0) _exit(1);
    pause();
    _exit(0);
  }
  pid_t grandchild = 0;
  ASSERT_EQ(read(out[0], &grandchild, sizeof(grandchild)),
            static_cast<ssize_t>(sizeof(grandchild)));
  ASSERT_GT(grandchild, 0);
  kill(parent, SIGKILL);
  ASSERT_EQ(waitpid(parent, nullptr, 0), parent);
  // Orphans go to init, which may leave them as zombies: those count as ended.
  const std::string stat = "/proc/" + std::to_string(grandchild) + "/stat";
  for (;;) {
    const absl::StatusOr<std::string> text = ReadFile(stat);
    if (!text.ok() || text->find(") Z") != std::string::npos) break;
    sched_yield();
  }
}

}  // namespace
}  // namespace topiary
