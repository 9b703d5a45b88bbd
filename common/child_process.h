#ifndef TOPIARY_COMMON_CHILD_PROCESS_H_
#define TOPIARY_COMMON_CHILD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace topiary {

struct ChildProcessOptions {
  // The file to which standard output and error are appended; empty: they go where ours go.
  std::string log_path;
  // Added to this process' own, in whose place it counts.
  std::vector<std::pair<std::string, std::string>> environment;
};

// A program started by this one, that never outlives it: the kernel kills it when the thread that
// started it ends, however that happens. It is in a process group of its own, so that Ctrl-C
// reaches the parent alone, and no signal is blocked in it. One thread.
class ChildProcess {
 public:
  // `arguments[0]` is the program's path; its input is empty. NOT_FOUND if it cannot be run.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, const ChildProcessOptions& options = {});

  // Ends it with SIGKILL if it runs still. For an orderly end, call Stop() before.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool Running();

  // "exited with 2", "was killed by signal 11", "is running".
  std::string Describe();

  // Nothing happens once it has ended.
  void Signal(int signal);

  // Its exit code, or minus the signal that ended it. DEADLINE_EXCEEDED if it goes on.
  absl::StatusOr<int> Wait(absl::Duration timeout);

  // SIGTERM, and SIGKILL after `grace`. Returns when it has ended.
  void Stop(absl::Duration grace);

  pid_t pid() const { return pid_; }
  const std::string& log_path() const { return log_path_; }

 private:
  ChildProcess(pid_t pid, std::string program, std::string log_path)
      : pid_(pid), program_(std::move(program)), log_path_(std::move(log_path)) {}

  const pid_t pid_;
  const std::string program_;
  const std::string log_path_;
  bool running_ = true;
  int wait_status_ = 0;
};

// Waits until `child` has written `path`, the file in which our servers write down where they
// listen, and returns its lines that are not empty, at least one. UNAVAILABLE if the child ends
// before, DEADLINE_EXCEEDED after `timeout`. `pause` waits for about as long as it is told;
// CANCELLED once it returns false.
absl::StatusOr<std::vector<std::string>> WaitForPortFile(
    const std::string& path, ChildProcess* child, absl::Duration timeout,
    absl::FunctionRef<bool(absl::Duration)> pause);
absl::StatusOr<std::vector<std::string>> WaitForPortFile(const std::string& path,
                                                         ChildProcess* child,
                                                         absl::Duration timeout);

}  // namespace topiary

#endif  // TOPIARY_COMMON_CHILD_PROCESS_H_
