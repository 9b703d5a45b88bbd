#ifndef TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_H_
#define TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace topiary {

// An open blob. Thread-compatible. What it reads stays readable when the blob is deleted meanwhile.
class BlobReader {
 public:
  virtual ~BlobReader() = default;

  virtual int64_t size() const = 0;

  // Reads into `buffer` from `offset` on; returns how many bytes, less than the buffer holds only
  // at the end of the blob. OUT_OF_RANGE, reason RANGE_OUTSIDE_ARTIFACT, if offset < 0 or > size().
  virtual absl::StatusOr<size_t> Read(int64_t offset, absl::Span<char> buffer) = 0;
};

struct BlobInfo {
  std::string digest;
  int64_t size_bytes = 0;
  absl::Time modify_time = absl::UnixEpoch();  // when it was stored, or stored anew
};

struct PartialInfo {
  std::string upload;
  absl::Time modify_time = absl::UnixEpoch();  // when bytes last arrived
};

// Immutable blobs, each known by the SHA-256 of its bytes, and the partial blobs on their way to
// become one. It knows nothing of projects or jobs, and never deletes by itself.
//
// Thread-safe; methods block on I/O; memory use does not depend on sizes. A blob exists whole or
// not at all, also across a crash: CommitUpload answers once it is on disk. Partial blobs survive a
// restart of the process; after a crash of the machine their last bytes may be lost or wrong, which
// CommitUpload finds out.
//
// Errors common to all: INVALID_ARGUMENT for a malformed digest or upload id; RESOURCE_EXHAUSTED,
// reason STORE_FULL, when the disk is full (safe to repeat later); INTERNAL or DATA_LOSS for other
// I/O errors, with path and cause. NOT_FOUND has reason UPLOAD_NOT_FOUND or ARTIFACT_NOT_FOUND.
class ArtifactStore {
 public:
  virtual ~ArtifactStore() = default;

  // Begins an empty partial blob. OK, and no change, if `upload` exists. `upload` is 1 to 64
  // letters, digits, '-' and '_'.
  virtual absl::Status CreateUpload(const std::string& upload) = 0;

  // Bytes received so far: where to go on.
  virtual absl::StatusOr<int64_t> UploadOffset(const std::string& upload) = 0;

  // Adds `bytes` at `offset`, which must be UploadOffset(); returns the new offset.
  // ABORTED, reason UPLOAD_OFFSET_MISMATCH, metadata committedBytes, if it is not: nothing changes.
  virtual absl::StatusOr<int64_t> AppendUpload(const std::string& upload, int64_t offset,
                                               absl::string_view bytes) = 0;

  // Makes the upload the blob `digest`, in place of one of the same digest if there is one.
  // FAILED_PRECONDITION, reason UPLOAD_INCOMPLETE, metadata committedBytes, if bytes are missing.
  // DATA_LOSS, reason DIGEST_MISMATCH, if there are too many bytes or not those of `digest`: the
  // partial blob is emptied, so that the upload can start again. May be repeated until
  // AbandonUpload.
  virtual absl::Status CommitUpload(const std::string& upload, const std::string& digest,
                                    int64_t size_bytes) = 0;

  // Forgets the upload and deletes what is partial of it; not a blob that it became. OK if there is
  // none.
  virtual absl::Status AbandonUpload(const std::string& upload) = 0;

  // Opens a blob for reading.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& digest) = 0;

  // Deletes a blob. OK if there is none.
  virtual absl::Status Delete(const std::string& digest) = 0;

  // Up to `limit` blobs with a digest greater than `after` ("": from the first), by digest.
  virtual absl::StatusOr<std::vector<BlobInfo>> ListBlobs(const std::string& after, int limit) = 0;

  // All partial blobs, in no order.
  virtual absl::StatusOr<std::vector<PartialInfo>> ListUploads() = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_H_
