#include "client/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/interrupt.h"

namespace topiary {
namespace {

constexpr int kCannotStart = 127;
constexpr absl::Duration kPollInterval = absl::Milliseconds(10);
constexpr absl::Duration kGraceAtDestruction = absl::Seconds(5);

// In the child, between fork and exec: only async-signal-safe calls.
[[noreturn]] void Execute(char* const* arguments, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kCannotStart);  // It ended before the line above.
  setpgid(0, 0);
  UnblockSignals();
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  execv(arguments[0], arguments);
  _exit(kCannotStart);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, const std::string& log_path) {
  if (arguments.empty() || access(arguments[0].c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(
        "cannot run ", arguments.empty() ? "nothing" : arguments[0], ": ", std::strerror(errno)));
  }
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  const int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) {
    return absl::InternalError(absl::StrCat("cannot write ", log_path, ": ", strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Execute(pointers.data(), log, parent);
  const int error = errno;
  close(log);
  if (pid < 0) {
    return absl::InternalError(absl::StrCat("cannot start ", arguments[0], ": ", strerror(error)));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid));
}

ChildProcess::~ChildProcess() { Stop(kGraceAtDestruction); }

bool ChildProcess::Running() {
  if (running_ && waitpid(pid_, &wait_status_, WNOHANG) != 0) running_ = false;
  return running_;
}

std::string ChildProcess::Describe() {
  if (Running()) return "is running";
  if (WIFSIGNALED(wait_status_)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(wait_status_));
  }
  return absl::StrCat("exited with ", WEXITSTATUS(wait_status_));
}

void ChildProcess::Stop(absl::Duration grace) {
  if (!Running()) return;
  kill(pid_, SIGTERM);
  const absl::Time until = absl::Now() + grace;
  while (Running() && absl::Now() < until) absl::SleepFor(kPollInterval);
  if (!running_) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  running_ = false;
}

}  // namespace topiary
