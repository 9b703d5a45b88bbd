#include "common/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/file.h"

namespace topiary {
namespace {

constexpr int kCannotStart = 127;
// There is nothing to be notified by.
constexpr absl::Duration kPollInterval = absl::Milliseconds(5);

// What execve() wants: pointers to the strings, which must outlive them, and a null.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// This process' environment and `added` in its place: which of two of one name counts is up to the
// program.
std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : added) variables.push_back(absl::StrCat(name, "=", value));
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const absl::string_view name =
        absl::string_view(*variable).substr(0, absl::string_view(*variable).find('='));
    const bool replaced = std::any_of(added.begin(), added.end(),
                                      [name](const auto& entry) { return entry.first == name; });
    if (!replaced) variables.emplace_back(*variable);
  }
  return variables;
}

// In the child, between fork and exec: only async-signal-safe calls. `log` may be -1.
[[noreturn]] void Execute(char* const* arguments, char* const* environment, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kCannotStart);  // It ended before the line above.
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDONLY);
  if (null < 0) _exit(kCannotStart);
  dup2(null, STDIN_FILENO);
  if (log >= 0) {
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
  }
  execve(arguments[0], arguments, environment);
  _exit(kCannotStart);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, const ChildProcessOptions& options) {
  if (arguments.empty()) return absl::NotFoundError("no program to run was named");
  if (access(arguments[0].c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot run ", arguments[0], ": ", std::strerror(errno)));
  }
  const std::vector<std::string> variables = Environment(options.environment);
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> variable_pointers = Pointers(variables);
  int log = -1;
  if (!options.log_path.empty()) {
    log = open(options.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) return absl::ErrnoToStatus(errno, "cannot write " + options.log_path);
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Execute(argument_pointers.data(), variable_pointers.data(), log, parent);
  const int error = errno;
  if (log >= 0) close(log);
  if (pid < 0) return absl::ErrnoToStatus(error, "cannot start " + arguments[0]);
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, arguments[0], options.log_path));
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  Wait(absl::InfiniteDuration()).IgnoreError();
}

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

void ChildProcess::Signal(int signal) {
  // Once it is reaped, its id may be another process'.
  if (Running()) kill(pid_, signal);
}

absl::StatusOr<int> ChildProcess::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (Running()) {
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          program_, ", process ", pid_, ", still runs after ", absl::FormatDuration(timeout),
          log_path_.empty() ? "" : absl::StrCat("; its log is ", log_path_)));
    }
    absl::SleepFor(kPollInterval);
  }
  return WIFSIGNALED(wait_status_) ? -WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
}

void ChildProcess::Stop(absl::Duration grace) {
  Signal(SIGTERM);
  if (Wait(grace).ok()) return;
  Signal(SIGKILL);
  Wait(absl::InfiniteDuration()).IgnoreError();
}

absl::StatusOr<std::vector<std::string>> WaitForPortFile(
    const std::string& path, ChildProcess* child, absl::Duration timeout,
    absl::FunctionRef<bool(absl::Duration)> pause) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    // In this order, so that what it wrote just before it ended counts.
    const bool running = child->Running();
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (text.ok() && absl::EndsWith(*text, "\n")) {
      std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
      if (!lines.empty()) return lines;
    }
    if (!running) {
      return absl::UnavailableError(
          absl::StrCat("the process ", child->Describe(), " before it wrote ", path));
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(path, " is not written after ", absl::FormatDuration(timeout),
                       ": see what the process that should write it logged"));
    }
    if (!pause(kPollInterval)) {
      return absl::CancelledError(absl::StrCat("stopped while waiting for ", path));
    }
  }
}

absl::StatusOr<std::vector<std::string>> WaitForPortFile(const std::string& path,
                                                         ChildProcess* child,
                                                         absl::Duration timeout) {
  return WaitForPortFile(path, child, timeout, [](absl::Duration interval) {
    absl::SleepFor(interval);
    return true;
  });
}

}  // namespace topiary
