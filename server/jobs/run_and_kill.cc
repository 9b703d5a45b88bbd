#include "server/jobs/run_and_kill.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_split.h"

namespace topiary {
namespace {

// Becomes `program` with its standard output going to `output`.
[[noreturn]] void Execute(const std::vector<char*>& arguments, int output) {
  dup2(output, STDOUT_FILENO);
  close(output);
  execv(arguments[0], arguments.data());
  _exit(127);
}

}  // namespace

std::vector<std::string> RunAndKill(const std::vector<std::string>& program, int lines) {
  std::vector<char*> arguments;
  for (const std::string& argument : program) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    Execute(arguments, ends[1]);
  }
  close(ends[1]);
  std::string output;
  bool killed = false;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    output.append(buffer, static_cast<size_t>(n));
    if (!killed && std::count(output.begin(), output.end(), '\n') >= lines) {
      kill(child, SIGKILL);
      killed = true;
    }
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
      << program[0] << " ended by itself, status " << status;
  return absl::StrSplit(output, '\n', absl::SkipEmpty());
}

}  // namespace topiary
