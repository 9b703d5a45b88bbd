#include "tests/cluster/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace topiary {
namespace {

// In the child, between fork and exec: only what is safe there.
[[noreturn]] void Become(char* const* arguments, char* const* environment, int log_file) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(log_file, STDOUT_FILENO);
  dup2(log_file, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    const std::vector<std::string>& arguments, const std::string& log_path,
    const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<char*> argument_pointers;
  for (const std::string& argument : arguments) {
    argument_pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  argument_pointers.push_back(nullptr);
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(absl::StrCat(name, "=", value));
  std::vector<char*> variable_pointers;
  for (std::string& variable : variables) variable_pointers.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variable_pointers.push_back(*variable);
  }
  variable_pointers.push_back(nullptr);
  const int log_file = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_file < 0) return absl::ErrnoToStatus(errno, "cannot open " + log_path);
  const pid_t pid = fork();
  if (pid == 0) Become(argument_pointers.data(), variable_pointers.data(), log_file);
  close(log_file);
  if (pid < 0) return absl::ErrnoToStatus(errno, "fork");
  return std::unique_ptr<Process>(new Process(pid, log_path));
}

Process::~Process() {
  if (!running()) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Process::running() {
  if (reaped_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  reaped_ = true;
  result_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return false;
}

void Process::Signal(int signal) {
  if (running()) kill(pid_, signal);
}

absl::StatusOr<int> Process::Wait(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (running()) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("process ", pid_, " goes on; its log is ", log_path_));
    }
    absl::SleepFor(absl::Milliseconds(5));  // There is nothing to be notified by.
  }
  return result_;
}

}  // namespace topiary
