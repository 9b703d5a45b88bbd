#include "client/channel.h"

#include "absl/time/clock.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace topiary {
namespace {

// The largest answer is a page of 1,000 jobs with their specs.
constexpr int kMaxReceiveBytes = 64 << 20;

// gRPC wants milliseconds as an int.
int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(
      std::min(std::max(duration, absl::Milliseconds(1)), absl::Hours(24))));
}

}  // namespace

absl::string_view RetryServiceConfig() {
  // DeleteJob, DeleteArtifact: a repeated call after a lost answer would say NOT_FOUND.
  // Synchronize: the worker's loop has a back-off of its own. Streams: resumed, not repeated.
  return R"json({
  "methodConfig": [{
    "name": [
      {"service": "topiary.v1.CompressionService", "method": "CreateJob"},
      {"service": "topiary.v1.CompressionService", "method": "GetJob"},
      {"service": "topiary.v1.CompressionService", "method": "ListJobs"},
      {"service": "topiary.v1.CompressionService", "method": "CancelJob"},
      {"service": "topiary.v1.ArtifactService", "method": "BeginUpload"},
      {"service": "topiary.v1.ArtifactService", "method": "GetUpload"},
      {"service": "topiary.v1.ArtifactService", "method": "FinishUpload"},
      {"service": "topiary.v1.ArtifactService", "method": "GetArtifact"},
      {"service": "topiary.v1.ArtifactService", "method": "ListArtifacts"},
      {"service": "topiary.v1.AdminService", "method": "ListWorkers"},
      {"service": "topiary.v1.AdminService", "method": "DrainWorker"}
    ],
    "retryPolicy": {
      "maxAttempts": 5,
      "initialBackoff": "0.2s",
      "maxBackoff": "5s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
})json";
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(const ChannelOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("the server's address is empty; it looks like host:port");
  }
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(std::string(RetryServiceConfig()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  // 0: as many pings without data as wanted, for a watch may be silent for long.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  // Despite its name this is the time that one attempt to connect may take, not a wait between two.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10000);
  // Calls fail at once until the next attempt, however long the server has been back: a worker must
  // find it well within the length of a lease.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  return grpc::CreateCustomChannel(
      options.target,
      options.credentials ? options.credentials : grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(absl::Duration timeout, grpc::ClientContext* context) {
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace topiary
