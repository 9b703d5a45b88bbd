#ifndef TOPIARY_SERVER_JOBS_ARTIFACT_TABLES_H_
#define TOPIARY_SERVER_JOBS_ARTIFACT_TABLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/artifact.h"
#include "server/jobs/artifact_catalog.h"
#include "server/jobs/job.h"
#include "server/jobs/page_token.h"

namespace topiary {

// The rows about artifacts and uploads, as one transaction sees them; the twin of job_tables.h.
//
// Good for one transaction, by one thread. Errors: those common to all methods of JobStore.
class ArtifactTables {
 public:
  virtual ~ArtifactTables() = default;

  virtual absl::StatusOr<std::optional<Artifact>> FindArtifact(const std::string& project,
                                                               const std::string& digest) = 0;
  // Inserts, or changes kind and create_time of the one with the same project and digest.
  virtual absl::Status PutArtifact(const Artifact& artifact) = 0;
  virtual absl::Status DeleteArtifact(const std::string& project, const std::string& digest) = 0;
  // Newest first, after `cursor`, at most `limit`.
  virtual absl::StatusOr<std::vector<Artifact>> ListArtifacts(const ArtifactQuery& query,
                                                              const PageCursor& cursor,
                                                              int limit) = 0;
  // Whether any project has it.
  virtual absl::StatusOr<bool> HasContent(const std::string& digest) = 0;
  virtual absl::StatusOr<int64_t> TotalBytes() = 0;

  // A job that has not ended and has the artifact among its inputs or checkpoints.
  virtual absl::StatusOr<std::optional<JobName>> FindLiveUser(const std::string& project,
                                                              const std::string& digest) = 0;
  // Whether any job, ended or not, has it among its inputs, outputs or checkpoints.
  virtual absl::StatusOr<bool> IsReferenced(const std::string& project,
                                            const std::string& digest) = 0;
  // Artifacts of kind CHECKPOINT created before `before` that no job refers to.
  virtual absl::StatusOr<std::vector<Artifact>> ListOrphanCheckpoints(absl::Time before,
                                                                      int limit) = 0;

  virtual absl::StatusOr<std::optional<UploadSession>> FindUpload(const std::string& project,
                                                                  const std::string& id) = 0;
  // An unfinished one with the same project, digest and size.
  virtual absl::StatusOr<std::optional<UploadSession>> FindOpenUpload(
      const UploadSession& like) = 0;
  virtual absl::StatusOr<int64_t> CountOpenUploads(const std::string& project) = 0;
  // Whether an unfinished session has this id, in any project.
  virtual absl::StatusOr<bool> IsOpenUpload(const std::string& id) = 0;
  // Inserts, or changes kind, update_time and finished of the one with the same project and id.
  virtual absl::Status PutUpload(const UploadSession& session) = 0;
  virtual absl::Status DeleteUpload(const std::string& project, const std::string& id) = 0;
  virtual absl::StatusOr<std::vector<UploadSession>> ListIdleUploads(absl::Time before,
                                                                     int limit) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_ARTIFACT_TABLES_H_
