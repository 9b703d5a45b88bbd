#ifndef TOPIARY_SERVER_API_UPLOAD_REACTOR_H_
#define TOPIARY_SERVER_API_UPLOAD_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include <optional>

#include "server/api/resource_name.h"
#include "server/api/stepwise_reactor.h"
#include "server/artifacts/artifact_repository.h"
#include "server/metrics/server_metrics.h"
#include "topiary/v1/artifacts.pb.h"

namespace topiary {

// WriteUpload: takes one chunk at a time and stores it before it asks for the next, so that a fast
// client is held back by gRPC's flow control and memory stays flat.
class UploadReactor : public StepwiseReactor<grpc::ServerReadReactor<v1::WriteUploadRequest>> {
 public:
  // All must outlive the reactor; `response` belongs to the call.
  UploadReactor(ArtifactRepository* artifacts, ServerMetrics* metrics, v1::Upload* response,
                Executor* executor, StreamRegistry* streams)
      : StepwiseReactor(executor, streams),
        artifacts_(artifacts),
        metrics_(metrics),
        response_(response) {}

  // Asks the client for the next chunk.
  void AskForChunk();

  void OnReadDone(bool ok) override;
  void OnWake() override;

 private:
  absl::Status CheckChunk();
  void StoreChunk();
  // After the client's last chunk.
  void Answer();

  ArtifactRepository* const artifacts_;
  ServerMetrics* const metrics_;
  v1::Upload* const response_;
  v1::WriteUploadRequest chunk_;
  bool has_chunk_ = false;
  std::optional<UploadName> upload_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_UPLOAD_REACTOR_H_
