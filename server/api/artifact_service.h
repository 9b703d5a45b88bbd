#ifndef TOPIARY_SERVER_API_ARTIFACT_SERVICE_H_
#define TOPIARY_SERVER_API_ARTIFACT_SERVICE_H_

#include "server/api/executor.h"
#include "server/api/stream_registry.h"
#include "server/artifacts/artifact_repository.h"
#include "server/metrics/server_metrics.h"
#include "topiary/v1/artifacts.grpc.pb.h"

namespace topiary {

// Artifacts, as proto/topiary/v1/artifacts.proto describes them. Thread-safe. All that is given to
// it must outlive it.
class ArtifactService : public v1::ArtifactService::CallbackService {
 public:
  ArtifactService(ArtifactRepository* artifacts, Executor* executor, StreamRegistry* streams,
                  ServerMetrics* metrics)
      : artifacts_(artifacts), executor_(executor), streams_(streams), metrics_(metrics) {}

  grpc::ServerUnaryReactor* BeginUpload(grpc::CallbackServerContext* context,
                                        const v1::BeginUploadRequest* request,
                                        v1::Upload* response) override;
  grpc::ServerUnaryReactor* GetUpload(grpc::CallbackServerContext* context,
                                      const v1::GetUploadRequest* request,
                                      v1::Upload* response) override;
  grpc::ServerReadReactor<v1::WriteUploadRequest>* WriteUpload(grpc::CallbackServerContext* context,
                                                               v1::Upload* response) override;
  grpc::ServerUnaryReactor* FinishUpload(grpc::CallbackServerContext* context,
                                         const v1::FinishUploadRequest* request,
                                         v1::Artifact* response) override;
  grpc::ServerWriteReactor<v1::ReadArtifactResponse>* ReadArtifact(
      grpc::CallbackServerContext* context, const v1::ReadArtifactRequest* request) override;
  grpc::ServerUnaryReactor* GetArtifact(grpc::CallbackServerContext* context,
                                        const v1::GetArtifactRequest* request,
                                        v1::Artifact* response) override;
  grpc::ServerUnaryReactor* ListArtifacts(grpc::CallbackServerContext* context,
                                          const v1::ListArtifactsRequest* request,
                                          v1::ListArtifactsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteArtifact(grpc::CallbackServerContext* context,
                                           const v1::DeleteArtifactRequest* request,
                                           google::protobuf::Empty* response) override;

 private:
  ArtifactRepository* const artifacts_;
  Executor* const executor_;
  StreamRegistry* const streams_;
  ServerMetrics* const metrics_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_ARTIFACT_SERVICE_H_
