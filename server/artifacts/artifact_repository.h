#ifndef TOPIARY_SERVER_ARTIFACTS_ARTIFACT_REPOSITORY_H_
#define TOPIARY_SERVER_ARTIFACTS_ARTIFACT_REPOSITORY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/artifacts/artifact_store.h"
#include "server/artifacts/digest_locks.h"
#include "server/jobs/artifact_catalog.h"

namespace topiary {

struct ArtifactLimits {
  int64_t max_artifact_bytes = int64_t{16} << 30;
  int max_open_uploads = 1000;                   // in one project
  absl::Duration upload_idle = absl::Hours(24);  // then an upload is dropped
  absl::Duration garbage_age = absl::Hours(1);   // bytes nobody refers to live this long
};

struct BeginUploadRequest {
  std::string project;
  std::string digest;
  int64_t size_bytes = 0;
  ArtifactKind kind = ArtifactKind::kModel;
  std::string display_name;
};

// An upload, or the artifact that makes one needless.
struct UploadStatus {
  UploadSession session;
  int64_t committed_bytes = 0;       // where to go on
  std::optional<Artifact> artifact;  // the project has these bytes; `session` may then be empty
};

// An artifact opened for reading.
struct OpenArtifact {
  Artifact artifact;
  std::unique_ptr<BlobReader> reader;
};

struct GarbageCollected {
  int uploads = 0;      // sessions dropped
  int partials = 0;     // partial blobs deleted
  int checkpoints = 0;  // records of checkpoints nobody referred to
  int blobs = 0;
  int64_t bytes = 0;  // of the blobs
};

// Artifacts as clients see them: records (ArtifactCatalog) and bytes (ArtifactStore) brought
// together. An artifact is visible only when its bytes are verified and durable.
//
// Thread-safe; methods block on I/O. Errors: those of the two parts, and what each method says. A
// project learns nothing of another's artifacts: known bytes end an upload only if this project has
// them.
class ArtifactRepository {
 public:
  // `new_id` makes unguessable upload ids. All must outlive the repository.
  ArtifactRepository(ArtifactLimits limits, ArtifactCatalog* catalog, ArtifactStore* store,
                     Clock* clock, std::function<std::string()> new_id);

  // Begins an upload, goes on with one of the same digest and size, or finds the artifact. One
  // whose bytes are missing from the store is uploaded anew. RESOURCE_EXHAUSTED, reason
  // ARTIFACT_TOO_LARGE or TOO_MANY_UPLOADS. INVALID_ARGUMENT for a malformed digest or negative
  // size.
  absl::StatusOr<UploadStatus> BeginUpload(const BeginUploadRequest& request);

  absl::StatusOr<UploadStatus> GetUpload(const std::string& project, const std::string& upload);

  // Adds bytes; see ArtifactStore::AppendUpload. INVALID_ARGUMENT if they would go beyond the
  // announced size. Returns the new offset.
  absl::StatusOr<int64_t> WriteUpload(const std::string& project, const std::string& upload,
                                      int64_t offset, absl::string_view bytes);

  // Verifies and publishes. May be repeated. Errors: see ArtifactStore::CommitUpload.
  absl::StatusOr<Artifact> FinishUpload(const std::string& project, const std::string& upload);

  // All of the above for bytes that are at hand. May be repeated, also after a crash in between.
  absl::StatusOr<Artifact> Store(const std::string& project, const std::string& digest,
                                 absl::string_view bytes, ArtifactKind kind,
                                 const std::string& display_name);

  // For a ranged read: NOT_FOUND, reason ARTIFACT_NOT_FOUND, unless the project has it.
  absl::StatusOr<OpenArtifact> Open(const std::string& project, const std::string& digest);

  absl::StatusOr<Artifact> Get(const std::string& project, const std::string& digest);
  absl::StatusOr<ArtifactPage> List(const ArtifactQuery& query);

  // FAILED_PRECONDITION, reason ARTIFACT_IN_USE, metadata job, if a live job needs it. The bytes go
  // with the next garbage collection, if no other project has them.
  absl::Status Delete(const std::string& project, const std::string& digest);

  // Drops idle uploads, unreferenced checkpoints, and bytes without a record. Call it every few
  // minutes. Goes on after an error and returns the first.
  absl::StatusOr<GarbageCollected> CollectGarbage();

 private:
  // The session as it is now, its bytes ready to be gone on with.
  absl::StatusOr<UploadStatus> StatusOf(const UploadSession& session);
  // The artifact that makes the upload needless, if there is one: its bytes are in the store. A
  // checkpoint then counts as uploaded again.
  absl::StatusOr<std::optional<Artifact>> FindKnown(const BeginUploadRequest& request);
  absl::Status CollectUploads(GarbageCollected* collected);
  absl::Status CollectPartials(GarbageCollected* collected);
  absl::Status CollectBlobs(GarbageCollected* collected);
  absl::Status CollectBlob(const BlobInfo& blob, GarbageCollected* collected);
  absl::Status CollectCheckpoints(GarbageCollected* collected);

  const ArtifactLimits limits_;
  ArtifactCatalog* const catalog_;
  ArtifactStore* const store_;
  Clock* const clock_;
  const std::function<std::string()> new_id_;
  DigestLocks locks_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_ARTIFACT_REPOSITORY_H_
