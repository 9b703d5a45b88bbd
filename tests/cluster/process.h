#ifndef TOPIARY_TESTS_CLUSTER_PROCESS_H_
#define TOPIARY_TESTS_CLUSTER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace topiary {

// A child process of a test. It dies with the test, however that ends. Thread-compatible.
class Process {
 public:
  // Runs `arguments[0]`; standard output and error are appended to `log_path`. `environment` is
  // added to the test's own.
  static absl::StatusOr<std::unique_ptr<Process>> Start(
      const std::vector<std::string>& arguments, const std::string& log_path,
      const std::vector<std::pair<std::string, std::string>>& environment = {});

  // Kills it with SIGKILL if it runs still.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void Signal(int signal);

  // Its exit code, or minus the signal that ended it. DEADLINE_EXCEEDED if it goes on.
  absl::StatusOr<int> Wait(absl::Duration timeout);

  const std::string& log_path() const { return log_path_; }

 private:
  Process(pid_t pid, std::string log_path) : pid_(pid), log_path_(std::move(log_path)) {}

  const pid_t pid_;
  const std::string log_path_;
  bool reaped_ = false;
  int result_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_TESTS_CLUSTER_PROCESS_H_
