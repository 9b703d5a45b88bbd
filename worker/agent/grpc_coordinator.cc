#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/artifact_transfer.h"
#include "client/channel.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "topiary/v1/artifacts.grpc.pb.h"
#include "topiary/v1/workers.grpc.pb.h"
#include "worker/agent/coordinator.h"

namespace topiary {
namespace {

class GrpcCoordinator : public Coordinator {
 public:
  explicit GrpcCoordinator(std::shared_ptr<grpc::Channel> channel)
      : workers_(v1::WorkerService::NewStub(channel)),
        artifacts_(v1::ArtifactService::NewStub(channel)),
        transfer_(std::move(channel)) {}

  absl::StatusOr<v1::SynchronizeResponse> Synchronize(const v1::SynchronizeRequest& request,
                                                      absl::Duration timeout,
                                                      Cancellation* cancellation) override {
    grpc::ClientContext context;
    SetDeadline(timeout, &context);
    Cancellation::Scope scope(cancellation, &context);
    if (IsCancelled(cancellation)) return absl::CancelledError("the worker is stopping");
    v1::SynchronizeResponse response;
    RETURN_IF_ERROR(FromGrpcStatus(workers_->Synchronize(&context, request, &response)));
    return response;
  }

  absl::Status Download(const std::string& project, const std::string& digest,
                        const std::string& path, Cancellation* cancellation) override {
    TransferOptions options;
    options.cancellation = cancellation;
    return transfer_.Download(project, digest, path, options);
  }

  absl::StatusOr<v1::Artifact> Upload(const std::string& project, const std::string& path,
                                      v1::ArtifactKind kind, const std::string& display_name,
                                      int max_failures, Cancellation* cancellation) override {
    TransferOptions options;
    options.cancellation = cancellation;
    options.backoff.max_failures = max_failures;
    UploadSource source;
    source.path = path;
    source.kind = kind;
    source.display_name = display_name;
    return transfer_.Upload(project, source, options);
  }

  absl::StatusOr<std::string> DisplayName(const std::string& project, const std::string& digest,
                                          Cancellation* cancellation) override {
    grpc::ClientContext context;
    SetDeadline(absl::Seconds(5), &context);
    Cancellation::Scope scope(cancellation, &context);
    if (IsCancelled(cancellation)) return absl::CancelledError("the worker is stopping");
    v1::GetArtifactRequest request;
    request.set_name(absl::StrCat(project, "/artifacts/", digest));
    v1::Artifact artifact;
    RETURN_IF_ERROR(FromGrpcStatus(artifacts_->GetArtifact(&context, request, &artifact)));
    return artifact.display_name();
  }

 private:
  const std::unique_ptr<v1::WorkerService::Stub> workers_;
  const std::unique_ptr<v1::ArtifactService::Stub> artifacts_;
  ArtifactTransfer transfer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Coordinator>> NewGrpcCoordinator(const std::string& target) {
  ChannelOptions options;
  options.target = target;
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, NewChannel(options));
  return std::make_unique<GrpcCoordinator>(std::move(channel));
}

}  // namespace topiary
