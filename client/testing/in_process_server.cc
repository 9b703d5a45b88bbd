#include "client/testing/in_process_server.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace topiary {

InProcessServer::InProcessServer(const std::vector<grpc::Service*>& services) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr) << "cannot start a server on the loopback interface";
  target_ = absl::StrCat("127.0.0.1:", port);
}

InProcessServer::~InProcessServer() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace topiary
