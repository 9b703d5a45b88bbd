#ifndef TOPIARY_SERVER_JOBS_SQLITE_TABLES_H_
#define TOPIARY_SERVER_JOBS_SQLITE_TABLES_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/metadata_tables.h"
#include "server/jobs/sqlite_connection.h"

namespace topiary {

// The rows of a MetadataStore in SQLite, through a connection whose transaction the caller begins
// and ends. Thread-compatible.
class SqliteTables final : public MetadataTables {
 public:
  // `connection` must outlive the tables.
  explicit SqliteTables(SqliteConnection* connection) : db_(connection) {}

  absl::StatusOr<std::optional<Job>> FindJob(const JobName& name) override;
  absl::StatusOr<std::optional<Job>> FindRequest(const std::string& project,
                                                 const std::string& request_id) override;
  absl::StatusOr<int64_t> CountLive(const std::string& project) override;
  absl::Status InsertJob(const Job& job) override;
  absl::Status UpdateJob(const Job& job) override;
  absl::Status PutResult(const Job& job) override;
  absl::Status PutCheckpoints(const Job& job) override;
  absl::Status DeleteJob(const JobName& name) override;
  absl::Status PutAttempt(const JobName& name, const Attempt& attempt) override;
  absl::StatusOr<std::vector<Attempt>> ListAttempts(const JobName& name) override;
  absl::Status AppendEvent(const JobName& name, const JobEvent& event) override;
  absl::StatusOr<std::vector<JobEvent>> ListEvents(const JobName& name, int64_t after,
                                                   int limit) override;
  absl::StatusOr<int> ThinProgress(const JobName& name) override;
  absl::StatusOr<std::vector<Job>> ListJobs(const JobQuery& query, const PageCursor& cursor,
                                            int limit) override;
  absl::StatusOr<std::map<JobState, int64_t>> CountByState() override;
  absl::StatusOr<std::vector<Job>> ListHeld(const std::string& worker) override;
  absl::StatusOr<std::vector<Job>> ListChildren(const JobName& sweep) override;
  absl::StatusOr<std::vector<JobName>> ListEndedSweeps(int limit) override;
  absl::StatusOr<std::vector<JobName>> ListExpired(absl::Time now, int limit) override;
  absl::StatusOr<std::vector<JobName>> ListOverdue(absl::Time now, int limit) override;
  absl::StatusOr<SchedulingSnapshot> Snapshot(absl::Time now, int per_class) override;

  absl::StatusOr<std::optional<Artifact>> FindArtifact(const std::string& project,
                                                       const std::string& digest) override;
  absl::Status PutArtifact(const Artifact& artifact) override;
  absl::Status DeleteArtifact(const std::string& project, const std::string& digest) override;
  absl::StatusOr<std::vector<Artifact>> ListArtifacts(const ArtifactQuery& query,
                                                      const PageCursor& cursor, int limit) override;
  absl::StatusOr<bool> HasContent(const std::string& digest) override;
  absl::StatusOr<int64_t> TotalBytes() override;
  absl::StatusOr<std::optional<JobName>> FindLiveUser(const std::string& project,
                                                      const std::string& digest) override;
  absl::StatusOr<bool> IsReferenced(const std::string& project, const std::string& digest) override;
  absl::StatusOr<std::vector<Artifact>> ListOrphanCheckpoints(absl::Time before,
                                                              int limit) override;
  absl::StatusOr<std::optional<UploadSession>> FindUpload(const std::string& project,
                                                          const std::string& id) override;
  absl::StatusOr<std::optional<UploadSession>> FindOpenUpload(const UploadSession& like) override;
  absl::StatusOr<int64_t> CountOpenUploads(const std::string& project) override;
  absl::StatusOr<bool> IsOpenUpload(const std::string& id) override;
  absl::Status PutUpload(const UploadSession& session) override;
  absl::Status DeleteUpload(const std::string& project, const std::string& id) override;
  absl::StatusOr<std::vector<UploadSession>> ListIdleUploads(absl::Time before, int limit) override;

 private:
  absl::Status CountChildren(Job* job);
  absl::Status LoadParts(Job* job);
  absl::StatusOr<std::vector<Job>> QueryJobs(absl::string_view sql,
                                             absl::Span<const SqlValue> values);
  absl::Status InsertReferences(const Job& job, int direction,
                                const std::vector<ArtifactReference>& references);
  absl::StatusOr<std::vector<JobName>> QueryNames(absl::string_view sql,
                                                  absl::Span<const SqlValue> values);
  absl::StatusOr<int64_t> QueryInteger(absl::string_view sql, absl::Span<const SqlValue> values);
  absl::StatusOr<std::vector<Artifact>> QueryArtifacts(absl::string_view sql,
                                                       absl::Span<const SqlValue> values);
  absl::StatusOr<std::vector<UploadSession>> QueryUploads(absl::string_view sql,
                                                          absl::Span<const SqlValue> values);

  SqliteConnection* const db_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQLITE_TABLES_H_
