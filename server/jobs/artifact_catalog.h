#ifndef TOPIARY_SERVER_JOBS_ARTIFACT_CATALOG_H_
#define TOPIARY_SERVER_JOBS_ARTIFACT_CATALOG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/artifact.h"

namespace topiary {

// What ListArtifacts selects: newest first, ties by digest.
struct ArtifactQuery {
  std::string project;
  std::vector<ArtifactKind> kinds;  // any of them; empty: all but checkpoints
  int page_size = 100;              // 1 to 1000
  std::string page_token;           // "" or an ArtifactPage's, with the same query otherwise
};

struct ArtifactPage {
  std::vector<Artifact> artifacts;
  std::string next_page_token;  // "" on the last page
};

// Records of artifacts and uploads, in the same database as the jobs, so that one transaction
// covers a job and the artifacts it needs. Bytes are not its business: see server/artifacts.
//
// Thread-safe; methods block; each is one transaction. Errors common to all: as JobStore's.
// NOT_FOUND has the reason ARTIFACT_NOT_FOUND or UPLOAD_NOT_FOUND.
class ArtifactCatalog {
 public:
  virtual ~ArtifactCatalog() = default;

  // Opens `session`, or returns the one already open for the same project, digest and size, so that
  // a client that lost its session can go on; one for a checkpoint takes the kind of `session`.
  // RESOURCE_EXHAUSTED, reason TOO_MANY_UPLOADS, if the project has `max_open` of them already.
  virtual absl::StatusOr<UploadSession> BeginUpload(const UploadSession& session, int max_open,
                                                    absl::Time now) = 0;

  virtual absl::StatusOr<UploadSession> GetUpload(const std::string& project,
                                                  const std::string& id) = 0;

  // Notes a sign of life, which puts off the collection of an abandoned upload.
  virtual absl::Status TouchUpload(const std::string& project, const std::string& id,
                                   absl::Time now) = 0;

  // Marks the session finished and records its artifact, in one step. Call it once the bytes are
  // durably stored. May be repeated. An artifact that the project already has is returned as it is,
  // save for a checkpoint: see RenewCheckpoint.
  virtual absl::StatusOr<Artifact> FinishUpload(const std::string& project, const std::string& id,
                                                absl::Time now) = 0;

  // Forgets the session, unless there was a sign of life since `before`. Returns whether it did;
  // false if there is none.
  virtual absl::StatusOr<bool> AbandonUpload(const std::string& project, const std::string& id,
                                             absl::Time before) = 0;

  // Sessions, finished ones too, without a sign of life since `before`; at most `limit`.
  virtual absl::StatusOr<std::vector<UploadSession>> ListIdleUploads(absl::Time before,
                                                                     int limit) = 0;

  virtual absl::StatusOr<Artifact> GetArtifact(const std::string& project,
                                               const std::string& digest) = 0;

  // Notes that the artifact is uploaded again as `kind`: a checkpoint takes this kind and counts as
  // created at `now`, so that it is no orphan yet; another one is returned as it is.
  virtual absl::StatusOr<Artifact> RenewCheckpoint(const std::string& project,
                                                   const std::string& digest, ArtifactKind kind,
                                                   absl::Time now) = 0;

  virtual absl::StatusOr<ArtifactPage> ListArtifacts(const ArtifactQuery& query) = 0;

  // Removes the record. FAILED_PRECONDITION, reason ARTIFACT_IN_USE, with the job named, if a live
  // job of the project needs it.
  virtual absl::Status DeleteArtifact(const std::string& project, const std::string& digest) = 0;

  // Removes records of checkpoints that no job refers to and that are older than `before` (those
  // whose worker died between storing and reporting). Returns how many.
  virtual absl::StatusOr<int> DeleteUnreferencedCheckpoints(absl::Time before) = 0;

  // Those of `digests` that no artifact of any project has: their bytes may go.
  virtual absl::StatusOr<std::vector<std::string>> SelectUnreferenced(
      const std::vector<std::string>& digests) = 0;

  // Those of `ids` for which no unfinished session is kept: what bytes they have may go.
  virtual absl::StatusOr<std::vector<std::string>> SelectClosedUploads(
      const std::vector<std::string>& ids) = 0;

  // Bytes of all artifacts, each content counted once.
  virtual absl::StatusOr<int64_t> TotalBytes() = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_ARTIFACT_CATALOG_H_
