#ifndef TOPIARY_CLIENT_CLI_SESSION_H_
#define TOPIARY_CLIENT_CLI_SESSION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/artifact_transfer.h"
#include "client/cancellation.h"
#include "client/cli/terminal.h"
#include "client/jobs.h"
#include "google/protobuf/message.h"

namespace grpc {
class Channel;
}

namespace topiary {

// Flags that every command has.
struct GlobalFlags {
  std::string server = "localhost:7070";
  std::string project = "default";
  std::string output = "text";  // Or "json".
};

// What a command works with: the terminal, the flags and the connection, which is made when first
// asked for. One thread, but for cancellation().
class Session {
 public:
  Session(const GlobalFlags& flags, Terminal* terminal, Cancellation* cancellation);

  Terminal& terminal() const { return *terminal_; }
  Cancellation* cancellation() const { return cancellation_; }
  const std::string& server() const { return server_; }
  // "projects/p".
  const std::string& project() const { return project_; }

  // From now on another server is meant.
  void UseServer(const std::string& target);

  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel();
  absl::StatusOr<JobClient> jobs();
  absl::StatusOr<ArtifactTransfer> artifacts();

  // Options with this session's cancellation, and a progress bar headed `title` where the terminal
  // has room for one.
  TransferOptions Transfers(const std::string& title) const;

  // A result: the message as a line of JSON.
  void PrintJson(const google::protobuf::Message& message) const;

 private:
  std::string server_;
  const std::string project_;
  Terminal* const terminal_;
  Cancellation* const cancellation_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SESSION_H_
