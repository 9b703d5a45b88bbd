#ifndef TOPIARY_CLIENT_CLI_CHILD_PROCESS_H_
#define TOPIARY_CLIENT_CLI_CHILD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace topiary {

// A program started by this one, that never outlives it: the kernel kills it when the thread that
// started it ends, however that happens. It is in a process group of its own, so that Ctrl-C
// reaches the parent alone. One thread.
class ChildProcess {
 public:
  // `arguments[0]` is the program's path. Its output goes to the file `log_path`, its input is
  // empty. NOT_FOUND if the program cannot be started.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, const std::string& log_path);

  // Stops it.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool Running();

  // "exited with 2", "was killed by signal 11", "is running".
  std::string Describe();

  // SIGTERM, and SIGKILL after `grace`. Returns when it has ended.
  void Stop(absl::Duration grace);

  pid_t pid() const { return pid_; }

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  const pid_t pid_;
  bool running_ = true;
  int wait_status_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_CHILD_PROCESS_H_
