#ifndef TOPIARY_SERVER_API_DOWNLOAD_REACTOR_H_
#define TOPIARY_SERVER_API_DOWNLOAD_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include <memory>

#include "server/api/resource_name.h"
#include "server/api/stepwise_reactor.h"
#include "server/artifacts/artifact_repository.h"
#include "server/metrics/server_metrics.h"
#include "topiary/v1/artifacts.pb.h"

namespace topiary {

// ReadArtifact: reads a chunk, sends it, reads the next: one chunk in memory.
class DownloadReactor : public StepwiseReactor<grpc::ServerWriteReactor<v1::ReadArtifactResponse>> {
 public:
  // `request` must be valid. The others must outlive the reactor.
  DownloadReactor(const v1::ReadArtifactRequest& request, ArtifactRepository* artifacts,
                  ServerMetrics* metrics, Executor* executor, StreamRegistry* streams);

  void Open();

  void OnWriteDone(bool ok) override;

 private:
  void SendChunk();

  const ArtifactName name_;
  const int64_t limit_;  // 0: to the end
  ArtifactRepository* const artifacts_;
  ServerMetrics* const metrics_;
  std::unique_ptr<BlobReader> reader_;
  int64_t offset_;
  int64_t end_ = 0;
  v1::ReadArtifactResponse chunk_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_DOWNLOAD_REACTOR_H_
