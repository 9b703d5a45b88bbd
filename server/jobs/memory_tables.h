#ifndef TOPIARY_SERVER_JOBS_MEMORY_TABLES_H_
#define TOPIARY_SERVER_JOBS_MEMORY_TABLES_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/metadata_tables.h"

namespace topiary {

// The rows of a MetadataStore in ordered maps, with an undo list for transactions. The obvious
// implementation, to be compared with the others. Thread-compatible.
class MemoryTables final : public MetadataTables {
 public:
  // Undoes, or keeps, every change since the last Rollback or Commit.
  void Rollback();
  void Commit() { undo_.clear(); }

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
  using Key = std::pair<std::string, std::string>;  // project and digest, or project and upload id

  // The job with the counts of its children.
  Job Counted(const Job& job) const;

  template <typename Map, typename Value>
  void Set(Map* map, const typename Map::key_type& key, Value value);
  template <typename Map>
  void Erase(Map* map, const typename Map::key_type& key);

  std::map<JobName, Job> jobs_;
  std::map<JobName, std::map<int, Attempt>> attempts_;
  std::map<JobName, std::map<int64_t, JobEvent>> events_;
  std::map<Key, Artifact> artifacts_;
  std::map<Key, UploadSession> uploads_;
  std::vector<std::function<void()>> undo_;  // newest last
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_MEMORY_TABLES_H_
