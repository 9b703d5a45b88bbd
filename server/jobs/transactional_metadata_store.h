#ifndef TOPIARY_SERVER_JOBS_TRANSACTIONAL_METADATA_STORE_H_
#define TOPIARY_SERVER_JOBS_TRANSACTIONAL_METADATA_STORE_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/jobs/metadata_store.h"
#include "server/jobs/metadata_tables.h"

namespace topiary {

// What every transaction of a MetadataStore does, written once over the rows of any database. An
// implementation says how a transaction runs, and what the rows are.
//
// Thread-safe if Write and Read are.
class TransactionalMetadataStore : public MetadataStore {
 public:
  explicit TransactionalMetadataStore(Clock* clock) : clock_(clock) {}

  absl::Time Now() override { return clock_->Now(); }
  absl::StatusOr<Job> Insert(const Job& job, int max_live, absl::Time now) override;
  absl::StatusOr<Job> InsertSweep(const Job& sweep, const std::vector<Job>& children, int max_live,
                                  absl::Time now) override;
  absl::StatusOr<Job> Get(const JobName& name) override;
  absl::StatusOr<std::vector<Job>> ListChildren(const JobName& sweep) override;
  absl::StatusOr<std::vector<JobName>> ListEndedSweeps(int limit) override;
  absl::StatusOr<Job> FinishSweep(const JobName& sweep, const std::string& result,
                                  const std::vector<ArtifactReference>& outputs,
                                  absl::Time now) override;
  absl::StatusOr<std::vector<Attempt>> ListAttempts(const JobName& name) override;
  absl::StatusOr<JobPage> List(const JobQuery& query) override;
  absl::StatusOr<std::map<JobState, int64_t>> CountByState() override;
  absl::StatusOr<Job> RequestCancel(const JobName& name, absl::Time now) override;
  absl::Status Delete(const JobName& name) override;
  absl::StatusOr<Job> Acquire(const JobName& name, const std::string& worker,
                              const std::string& token, absl::Time expires_at, bool bit_exact,
                              absl::Time now) override;
  absl::StatusOr<std::vector<Job>> ListHeld(const std::string& worker) override;
  absl::StatusOr<std::vector<UpdateResult>> RecordProgress(absl::Span<const AttemptUpdate> updates,
                                                           absl::Time now) override;
  absl::Status RecordCheckpoint(const AttemptName& attempt, const Checkpoint& checkpoint,
                                absl::Time now) override;
  absl::StatusOr<Job> FinishAttempt(const AttemptName& attempt, const AttemptOutcome& outcome,
                                    absl::Time now) override;
  absl::StatusOr<std::vector<MovedJob>> ReclaimExpired(absl::Time now, int limit) override;
  absl::StatusOr<std::vector<MovedJob>> ExpireDeadlines(absl::Time now, int limit) override;
  absl::StatusOr<std::vector<JobEvent>> ListEvents(const JobName& name, int64_t after,
                                                   int limit) override;
  absl::StatusOr<SchedulingSnapshot> Snapshot(absl::Time now, int per_class) override;
  void SetListener(std::function<void(const JobChange&)> listener) override;

  absl::StatusOr<UploadSession> BeginUpload(const UploadSession& session, int max_open,
                                            absl::Time now) override;
  absl::StatusOr<UploadSession> GetUpload(const std::string& project,
                                          const std::string& id) override;
  absl::Status TouchUpload(const std::string& project, const std::string& id,
                           absl::Time now) override;
  absl::StatusOr<Artifact> FinishUpload(const std::string& project, const std::string& id,
                                        absl::Time now) override;
  absl::StatusOr<bool> AbandonUpload(const std::string& project, const std::string& id,
                                     absl::Time before) override;
  absl::StatusOr<std::vector<UploadSession>> ListIdleUploads(absl::Time before, int limit) override;
  absl::StatusOr<Artifact> GetArtifact(const std::string& project,
                                       const std::string& digest) override;
  absl::StatusOr<Artifact> RenewCheckpoint(const std::string& project, const std::string& digest,
                                           ArtifactKind kind, absl::Time now) override;
  absl::StatusOr<ArtifactPage> ListArtifacts(const ArtifactQuery& query) override;
  absl::Status DeleteArtifact(const std::string& project, const std::string& digest) override;
  absl::StatusOr<int> DeleteUnreferencedCheckpoints(absl::Time before) override;
  absl::StatusOr<std::vector<std::string>> SelectUnreferenced(
      const std::vector<std::string>& digests) override;
  absl::StatusOr<std::vector<std::string>> SelectClosedUploads(
      const std::vector<std::string>& ids) override;
  absl::StatusOr<int64_t> TotalBytes() override;

 protected:
  using Transaction = absl::FunctionRef<absl::Status(MetadataTables&)>;

  // Runs `transaction` and, if it returns OK, makes its writes durable before it returns; else
  // undoes them. It may be run more than once, so it must set what it hands out from scratch.
  virtual absl::Status Write(Transaction transaction) = 0;

  // Runs `transaction`, which only reads, on a consistent state.
  virtual absl::Status Read(Transaction transaction) = 0;

 private:
  // Runs `transaction` as Write does, then tells the listener what it noted in `changes`.
  absl::Status WriteAndTell(
      absl::FunctionRef<absl::Status(MetadataTables&, std::vector<JobChange>*)> transaction);

  Clock* const clock_;
  std::function<void(const JobChange&)> listener_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_TRANSACTIONAL_METADATA_STORE_H_
