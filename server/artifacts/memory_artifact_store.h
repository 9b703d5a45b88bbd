#ifndef TOPIARY_SERVER_ARTIFACTS_MEMORY_ARTIFACT_STORE_H_
#define TOPIARY_SERVER_ARTIFACTS_MEMORY_ARTIFACT_STORE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "server/artifacts/artifact_store.h"

namespace topiary {

// A complete ArtifactStore in memory: for tests. Thread-safe.
class MemoryArtifactStore : public ArtifactStore {
 public:
  // `clock` gives modification times and must outlive the store.
  explicit MemoryArtifactStore(Clock* clock) : clock_(clock) {}

  absl::Status CreateUpload(const std::string& upload) override;
  absl::StatusOr<int64_t> UploadOffset(const std::string& upload) override;
  absl::StatusOr<int64_t> AppendUpload(const std::string& upload, int64_t offset,
                                       absl::string_view bytes) override;
  absl::Status CommitUpload(const std::string& upload, const std::string& digest,
                            int64_t size_bytes) override;
  absl::Status AbandonUpload(const std::string& upload) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& digest) override;
  absl::Status Delete(const std::string& digest) override;
  absl::StatusOr<std::vector<BlobInfo>> ListBlobs(const std::string& after, int limit) override;
  absl::StatusOr<std::vector<PartialInfo>> ListUploads() override;

 private:
  struct Content {
    std::shared_ptr<std::string> bytes = std::make_shared<std::string>();
    absl::Time modify_time;
  };

  Clock* const clock_;
  Mutex mutex_;
  std::map<std::string, Content> uploads_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Content> blobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_MEMORY_ARTIFACT_STORE_H_
