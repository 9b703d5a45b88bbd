#ifndef TOPIARY_CLIENT_TESTING_IN_PROCESS_SERVER_H_
#define TOPIARY_CLIENT_TESTING_IN_PROCESS_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "grpcpp/server.h"
#include "grpcpp/support/status.h"

namespace topiary {

// A gRPC server with the given services on a free port of the loopback interface, until it goes out
// of scope. The services must outlive it. Thread-compatible.
class InProcessServer {
 public:
  explicit InProcessServer(const std::vector<grpc::Service*>& services);
  ~InProcessServer();

  // "127.0.0.1:PORT".
  const std::string& target() const { return target_; }

 private:
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_TESTING_IN_PROCESS_SERVER_H_
