#ifndef TOPIARY_CLIENT_TESTING_FAKE_ARTIFACT_SERVICE_H_
#define TOPIARY_CLIENT_TESTING_FAKE_ARTIFACT_SERVICE_H_

#include <cstdint>
#include <map>
#include <string>

#include "common/mutex.h"
#include "topiary/v1/artifacts.grpc.pb.h"

namespace topiary {

// ArtifactService in memory, for one project, with faults on demand. Thread-safe.
class FakeArtifactService : public v1::ArtifactService::Service {
 public:
  // Bytes after which the next stream ends UNAVAILABLE, once each; -1: never.
  void CutNextWriteAfter(int64_t bytes);
  void CutNextReadAfter(int64_t bytes);
  // Every stream from now on.
  void CutAllWritesAfter(int64_t bytes);
  // Flips a bit of the first byte of the next read.
  void CorruptNextRead();
  // Flips a bit of the first byte that the next upload stores.
  void CorruptNextWrite();
  // The next FinishUpload finds that the upload is gone.
  void ForgetNextUpload();

  void Put(const std::string& bytes);
  // The artifact's bytes; empty if there is none.
  std::string Get(const std::string& digest) const;

  int64_t bytes_received() const;  // Over all uploads.
  int64_t bytes_sent() const;      // Over all downloads.
  std::string last_display_name() const;

  grpc::Status BeginUpload(grpc::ServerContext*, const v1::BeginUploadRequest*,
                           v1::Upload*) override;
  grpc::Status WriteUpload(grpc::ServerContext*, grpc::ServerReader<v1::WriteUploadRequest>*,
                           v1::Upload*) override;
  grpc::Status FinishUpload(grpc::ServerContext*, const v1::FinishUploadRequest*,
                            v1::Artifact*) override;
  grpc::Status GetArtifact(grpc::ServerContext*, const v1::GetArtifactRequest*,
                           v1::Artifact*) override;
  grpc::Status ReadArtifact(grpc::ServerContext*, const v1::ReadArtifactRequest*,
                            grpc::ServerWriter<v1::ReadArtifactResponse>*) override;

 private:
  struct Pending {
    std::string digest;
    int64_t size = 0;
    std::string bytes;
  };

  // By name; null if there is none.
  Pending* Find(const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  grpc::Status Store(const v1::WriteUploadRequest& request, int64_t limit, Pending* upload)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, std::string> artifacts_ ABSL_GUARDED_BY(mutex_);  // By digest.
  std::map<std::string, Pending> uploads_ ABSL_GUARDED_BY(mutex_);        // By name.
  int64_t cut_write_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t cut_all_writes_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t cut_read_ ABSL_GUARDED_BY(mutex_) = -1;
  bool corrupt_read_ ABSL_GUARDED_BY(mutex_) = false;
  bool corrupt_write_ ABSL_GUARDED_BY(mutex_) = false;
  bool forget_upload_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t bytes_received_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_sent_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string last_display_name_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_TESTING_FAKE_ARTIFACT_SERVICE_H_
