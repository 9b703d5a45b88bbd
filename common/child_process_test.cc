#include "common/child_process.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Minutes(1);

// A path that is of this test alone.
std::string Path(const std::string& suffix) {
  return absl::StrCat(testing::TempDir(), "/", getpid(), "_",
                      testing::UnitTest::GetInstance()->current_test_info()->name(), suffix);
}

std::string LogPath() { return Path(".log"); }

absl::StatusOr<std::unique_ptr<ChildProcess>> Shell(
    const std::string& script,
    const std::vector<std::pair<std::string, std::string>>& environment = {}) {
  return ChildProcess::Start({"/bin/sh", "-c", script}, {LogPath(), environment});
}

TEST(ChildProcess, ItsOutputIsInTheLogAndItsExitIsKnown) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("echo out; echo err >&2; exit 3"));
  EXPECT_THAT(child->Wait(kPatience), IsOkAndHolds(3));
  EXPECT_EQ(child->Describe(), "exited with 3");
  EXPECT_THAT(ReadFile(LogPath()), IsOkAndHolds("out\nerr\n"));
}

TEST(ChildProcess, AMissingProgramIsNamed) {
  EXPECT_THAT(ChildProcess::Start({"/no/such/program"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/program")));
}

TEST(ChildProcess, ALogThatCannotBeWrittenIsNamed) {
  EXPECT_THAT(ChildProcess::Start({"/bin/sh"}, {"/no/such/folder/log", {}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/folder/log")));
}

TEST(ChildProcess, ItsEnvironmentIsOursWithWhatIsAdded) {
  setenv("TOPIARY_KEPT", "kept", 1);
  setenv("TOPIARY_REPLACED", "old", 1);
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("echo $TOPIARY_KEPT $TOPIARY_REPLACED",
                                               {{"TOPIARY_REPLACED", "new"}}));
  EXPECT_THAT(child->Wait(kPatience), IsOkAndHolds(0));
  EXPECT_THAT(ReadFile(LogPath()), IsOkAndHolds("kept new\n"));
}

TEST(ChildProcess, SignalsReachItAlsoWhereTheyAreBlockedHere) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto child = Shell("exec sleep 1000");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_OK(child.status());
  (*child)->Signal(SIGHUP);
  EXPECT_THAT((*child)->Wait(kPatience), IsOkAndHolds(-SIGHUP));
  (*child)->Signal(SIGHUP);  // Not to whoever has its id now.
}

TEST(ChildProcess, WaitingForOneThatGoesOnEnds) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("exec sleep 1000"));
  EXPECT_THAT(child->Wait(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr(LogPath())));
  EXPECT_TRUE(child->Running());
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
    const auto child = ChildProcess::Start({"/bin/sh", "-c", "exec sleep 1000"});
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

TEST(WaitForPortFile, ReturnsTheLinesOnceTheyAreWhole) {
  ASSERT_OK_AND_ASSIGN(const auto child,
                       Shell("printf '127.0.0.1:1\\n' > " + Path(".tmp") + " && mv " +
                             Path(".tmp") + " " + Path(".ports") + " && exec sleep 1000"));
  EXPECT_THAT(WaitForPortFile(Path(".ports"), child.get(), kPatience),
              IsOkAndHolds(ElementsAre("127.0.0.1:1")));
}

TEST(WaitForPortFile, EndsWithTheProcess) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("exit 2"));
  EXPECT_THAT(WaitForPortFile(Path(".ports"), child.get(), kPatience),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("exited with 2")));
}

TEST(WaitForPortFile, EndsAfterTheTimeoutAndWhenItIsCancelled) {
  ASSERT_OK_AND_ASSIGN(const auto child, Shell("exec sleep 1000"));
  EXPECT_THAT(WaitForPortFile(Path(".ports"), child.get(), absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr(Path(".ports"))));
  EXPECT_THAT(
      WaitForPortFile(Path(".ports"), child.get(), kPatience, [](absl::Duration) { return false; }),
      StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace topiary
