#include "bench/peer_process.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

extern char** environ;

namespace topiary {
namespace {

constexpr size_t kMaxLine = 1 << 20;

// Starts `arguments` with the given descriptors as standard input and output (-1: ours).
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments, int input, int output,
                            absl::Span<const int> close_in_child) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  if (output >= 0) posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  for (const int fd : close_in_child) posix_spawn_file_actions_addclose(&actions, fd);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot start ", arguments[0], ": ", strerror(error)));
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PeerProcess>> PeerProcess::Start(
    const std::vector<std::string>& arguments) {
  int to_child[2], from_child[2];
  if (pipe(to_child) != 0) return absl::UnavailableError("cannot make a pipe");
  if (pipe(from_child) != 0) {
    close(to_child[0]);
    close(to_child[1]);
    return absl::UnavailableError("cannot make a pipe");
  }
  signal(SIGPIPE, SIG_IGN);  // A child that has ended is an error of write().
  const auto pid = Spawn(arguments, to_child[0], from_child[1],
                         {to_child[0], to_child[1], from_child[0], from_child[1]});
  close(to_child[0]);
  close(from_child[1]);
  if (!pid.ok()) {
    close(to_child[1]);
    close(from_child[0]);
    return pid.status();
  }
  return std::unique_ptr<PeerProcess>(new PeerProcess(*pid, to_child[1], from_child[0]));
}

PeerProcess::~PeerProcess() {
  close(input_);
  // The child closes its standard output when it ends.
  pollfd ended = {output_, POLLIN, 0};
  char ignored[4096];
  while (poll(&ended, 1, 1000) > 0 && read(output_, ignored, sizeof(ignored)) > 0) {
  }
  close(output_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<std::string> PeerProcess::ReadLine(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    const size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    if (buffer_.size() > kMaxLine) return absl::UnavailableError("the peer's line has no end");
    pollfd readable = {output_, POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    const int ready = left <= 0 ? 0 : poll(&readable, 1, static_cast<int>(left));
    if (ready == 0) return absl::DeadlineExceededError("the peer does not answer");
    if (ready < 0 && errno == EINTR) continue;
    char chunk[4096];
    const ssize_t n = ready < 0 ? 0 : read(output_, chunk, sizeof(chunk));
    if (n <= 0) return absl::UnavailableError("the peer has ended");
    buffer_.append(chunk, static_cast<size_t>(n));
  }
}

absl::Status PeerProcess::WriteLine(absl::string_view line) {
  const std::string text = absl::StrCat(line, "\n");
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(input_, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::UnavailableError("the peer has ended");
    written += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status RunCommand(const std::vector<std::string>& arguments) {
  const auto pid = Spawn(arguments, -1, -1, {});
  if (!pid.ok()) return pid.status();
  int status = 0;
  while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("failed: ", absl::StrJoin(arguments, " ")));
}

}  // namespace topiary
