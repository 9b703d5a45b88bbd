#ifndef TOPIARY_SERVER_TEST_SERVER_H_
#define TOPIARY_SERVER_TEST_SERVER_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/fake_clock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/config.h"
#include "server/server.h"
#include "topiary/v1/admin.grpc.pb.h"
#include "topiary/v1/artifacts.grpc.pb.h"
#include "topiary/v1/jobs.grpc.pb.h"
#include "topiary/v1/workers.grpc.pb.h"

namespace topiary {

// A coordinator as it is deployed (real sockets, SQLite, a folder of artifacts) under a clock that
// the test moves, and a client's side of each service. For tests only.
class TestServer {
 public:
  // `change` may alter the configuration before the start.
  explicit TestServer(void (*change)(ServerConfig*) = nullptr);
  ~TestServer();

  // As after a crash or an orderly end: a new coordinator on the same data, at a new port.
  void Restart();

  Server* server() { return server_.get(); }
  FakeClock* clock() { return &clock_; }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }
  v1::CompressionService::Stub* jobs() { return jobs_.get(); }
  v1::ArtifactService::Stub* artifacts() { return artifacts_.get(); }
  v1::WorkerService::Stub* workers() { return workers_.get(); }
  v1::AdminService::Stub* admin() { return admin_.get(); }

  // Stores `bytes` in project "a" as an artifact; returns its digest.
  std::string Upload(absl::string_view bytes);

  // A request for a job on artifacts that are stored. `request_id` may be empty.
  v1::CreateJobRequest JobRequest(const std::string& request_id = "");

  // Creates a job of JobRequest.
  v1::Job CreateJob();

  // The report of an idle worker with one slot; it is answered at once.
  v1::SynchronizeRequest IdleWorker(const std::string& id);

  // Synchronizes; the test fails on an error.
  v1::SynchronizeResponse Synchronize(const v1::SynchronizeRequest& request);

  // The report of `worker` that it runs `lease`.
  v1::SynchronizeRequest Running(const std::string& worker, const v1::Lease& lease);

 private:
  void Start();

  const std::string folder_;
  ServerConfig config_;
  FakeClock clock_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::CompressionService::Stub> jobs_;
  std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

// A context whose call fails rather than hangs.
std::unique_ptr<grpc::ClientContext> Context();

// Details of an error, empty if there are none of the kind.
google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status);
google::rpc::BadRequest BadRequestOf(const grpc::Status& status);
google::rpc::PreconditionFailure PreconditionFailureOf(const grpc::Status& status);
google::rpc::RetryInfo RetryInfoOf(const grpc::Status& status);

}  // namespace topiary

#endif  // TOPIARY_SERVER_TEST_SERVER_H_
