#include "server/artifacts/memory_artifact_store.h"

#include <algorithm>
#include <utility>

#include "common/digest.h"
#include "common/status_macros.h"
#include "server/artifacts/artifact_errors.h"

namespace topiary {
namespace {

class MemoryReader final : public BlobReader {
 public:
  explicit MemoryReader(std::shared_ptr<const std::string> bytes) : bytes_(std::move(bytes)) {}

  int64_t size() const override { return static_cast<int64_t>(bytes_->size()); }

  absl::StatusOr<size_t> Read(int64_t offset, absl::Span<char> buffer) override {
    if (offset < 0 || offset > size()) return RangeOutside(offset, size());
    return bytes_->copy(buffer.data(), buffer.size(), static_cast<size_t>(offset));
  }

 private:
  const std::shared_ptr<const std::string> bytes_;
};

}  // namespace

absl::Status MemoryArtifactStore::CreateUpload(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  MutexLock lock(&mutex_);
  if (uploads_.count(upload) == 0) uploads_[upload].modify_time = clock_->Now();
  return absl::OkStatus();
}

absl::StatusOr<int64_t> MemoryArtifactStore::UploadOffset(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  MutexLock lock(&mutex_);
  const auto it = uploads_.find(upload);
  if (it == uploads_.end()) return UploadNotFound(upload);
  return static_cast<int64_t>(it->second.bytes->size());
}

absl::StatusOr<int64_t> MemoryArtifactStore::AppendUpload(const std::string& upload, int64_t offset,
                                                          absl::string_view bytes) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  MutexLock lock(&mutex_);
  const auto it = uploads_.find(upload);
  if (it == uploads_.end()) return UploadNotFound(upload);
  std::string* stored = it->second.bytes.get();
  const int64_t committed = static_cast<int64_t>(stored->size());
  if (offset != committed) return OffsetMismatch(upload, offset, committed);
  stored->append(bytes.data(), bytes.size());
  it->second.modify_time = clock_->Now();
  return static_cast<int64_t>(stored->size());
}

absl::Status MemoryArtifactStore::CommitUpload(const std::string& upload, const std::string& digest,
                                               int64_t size_bytes) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  RETURN_IF_ERROR(CheckDigest(digest));
  MutexLock lock(&mutex_);
  const auto it = uploads_.find(upload);
  if (it == uploads_.end()) return UploadNotFound(upload);
  std::string* stored = it->second.bytes.get();
  const int64_t committed = static_cast<int64_t>(stored->size());
  if (committed < size_bytes) return UploadIncomplete(upload, committed, size_bytes);
  const std::string actual = Sha256Hex(*stored);
  if (committed > size_bytes || actual != digest) {
    stored->clear();
    return committed > size_bytes ? TooManyBytes(upload, committed, size_bytes)
                                  : DigestMismatch(upload, digest, actual);
  }
  blobs_[digest] = {std::make_shared<std::string>(*stored), clock_->Now()};
  return absl::OkStatus();
}

absl::Status MemoryArtifactStore::AbandonUpload(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  MutexLock lock(&mutex_);
  uploads_.erase(upload);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobReader>> MemoryArtifactStore::Open(const std::string& digest) {
  RETURN_IF_ERROR(CheckDigest(digest));
  MutexLock lock(&mutex_);
  const auto it = blobs_.find(digest);
  if (it == blobs_.end()) return BlobNotFound(digest);
  return std::make_unique<MemoryReader>(it->second.bytes);
}

absl::Status MemoryArtifactStore::Delete(const std::string& digest) {
  RETURN_IF_ERROR(CheckDigest(digest));
  MutexLock lock(&mutex_);
  blobs_.erase(digest);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BlobInfo>> MemoryArtifactStore::ListBlobs(const std::string& after,
                                                                     int limit) {
  MutexLock lock(&mutex_);
  std::vector<BlobInfo> blobs;
  for (auto it = blobs_.upper_bound(after); it != blobs_.end(); ++it) {
    if (blobs.size() >= static_cast<size_t>(limit)) break;
    blobs.push_back(
        {it->first, static_cast<int64_t>(it->second.bytes->size()), it->second.modify_time});
  }
  return blobs;
}

absl::StatusOr<std::vector<PartialInfo>> MemoryArtifactStore::ListUploads() {
  MutexLock lock(&mutex_);
  std::vector<PartialInfo> uploads;
  for (const auto& [upload, content] : uploads_) uploads.push_back({upload, content.modify_time});
  return uploads;
}

}  // namespace topiary
