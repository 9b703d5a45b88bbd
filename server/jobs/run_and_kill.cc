#include "server/jobs/run_and_kill.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/status_matchers.h"

namespace topiary {

std::vector<std::string> RunAndKill(const std::vector<std::string>& program, int lines) {
  static std::atomic<int> runs{0};
  const std::string log = absl::StrCat(testing::TempDir(), "/killed-", getpid(), "-", runs++);
  const absl::StatusOr<std::unique_ptr<ChildProcess>> child =
      ChildProcess::Start(program, {log, {}});
  EXPECT_OK(child.status());
  if (!child.ok()) return {};
  std::string output;
  while (std::count(output.begin(), output.end(), '\n') < lines && (*child)->Running()) {
    absl::SleepFor(absl::Milliseconds(1));  // There is nothing to be notified by.
    output = ReadFile(log).value_or("");
  }
  (*child)->Signal(SIGKILL);
  const absl::StatusOr<int> result = (*child)->Wait(absl::InfiniteDuration());
  output = ReadFile(log).value_or("");
  EXPECT_THAT(result, IsOkAndHolds(-SIGKILL)) << program[0] << " ended by itself:\n" << output;
  return absl::StrSplit(output, '\n', absl::SkipEmpty());
}

}  // namespace topiary
