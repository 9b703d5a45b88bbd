#ifndef TOPIARY_CLIENT_CLI_PRIVATE_CLUSTER_H_
#define TOPIARY_CLIENT_CLI_PRIVATE_CLUSTER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cancellation.h"
#include "common/child_process.h"

namespace topiary {

struct PrivateClusterOptions {
  std::string server_binary;  // Empty: looked for, see FindBinary().
  std::string worker_binary;
  std::string data_dir;  // Empty: a temporary folder, removed at the end.
  int threads = 0;       // Of the worker; 0: it chooses.
};

// A coordinator on a free port of the loopback interface and one worker, both children of this
// process, for one run. One thread.
class PrivateCluster {
 public:
  // Returns when the coordinator listens. NOT_FOUND without the programs; INTERNAL with the end of
  // the log if one ends at once; CANCELLED when `cancellation` is.
  static absl::StatusOr<std::unique_ptr<PrivateCluster>> Start(const PrivateClusterOptions& options,
                                                               Cancellation* cancellation);
  // Stops both, the worker first, and removes the temporary folder.
  ~PrivateCluster();

  // "127.0.0.1:PORT".
  const std::string& target() const { return target_; }

  // OK while both run; else INTERNAL, with the end of the log of the one that ended.
  absl::Status Check();

 private:
  PrivateCluster() = default;
  absl::Status StartServer(const PrivateClusterOptions& options, Cancellation* cancellation);
  absl::Status StartWorker(const PrivateClusterOptions& options);
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
  bool temporary_ = false;
  std::string target_;
  std::unique_ptr<ChildProcess> server_;
  std::unique_ptr<ChildProcess> worker_;
};

// Where the program `name` ("topiary-server") is: beside this one, in Bazel's output folder of this
// one ("server/topiary-server"), or in PATH. NOT_FOUND says where it was looked for.
absl::StatusOr<std::string> FindBinary(const std::string& name);

// The last lines of a log, at most `bytes`, whole lines only.
std::string LogTail(const std::string& log_path, size_t bytes);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_PRIVATE_CLUSTER_H_
