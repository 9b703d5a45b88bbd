#include "server/jobs/metadata_store_conformance.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/check.h"
#include "common/digest.h"

namespace topiary {

Job MetadataStoreTest::NewJob(const std::string& id) {
  Job job;
  job.project = "p";
  job.id = id;
  job.uid = absl::StrCat("uid-", id);
  job.spec = absl::StrCat("spec of ", id);
  return job;
}

Job MetadataStoreTest::Insert(const Job& job) {
  absl::StatusOr<Job> stored = store_->Insert(job, 1 << 20, now());
  CHECK_OK(stored.status());
  return *std::move(stored);
}

Job MetadataStoreTest::Insert(const std::string& id) { return Insert(NewJob(id)); }

std::string MetadataStoreTest::ChildId(const std::string& sweep, int number) {
  return absl::StrFormat("%s-%04d", sweep, number);
}

Job MetadataStoreTest::InsertSweep(const std::string& id, int children) {
  std::vector<Job> jobs;
  for (int i = 1; i <= children; ++i) jobs.push_back(NewJob(ChildId(id, i)));
  absl::StatusOr<Job> stored = store_->InsertSweep(NewJob(id), jobs, 1 << 20, now());
  CHECK_OK(stored.status());
  return *std::move(stored);
}

AttemptName MetadataStoreTest::Acquire(const std::string& id, const std::string& worker) {
  absl::StatusOr<Job> job = store_->Acquire(
      {"p", id}, worker, absl::StrCat("token of ", worker, " at ", absl::FormatTime(now())),
      now() + absl::Seconds(30), true, now());
  CHECK_OK(job.status());
  return job->lease->attempt;
}

Job MetadataStoreTest::Get(const std::string& id) {
  absl::StatusOr<Job> job = store_->Get({"p", id});
  CHECK_OK(job.status());
  return *std::move(job);
}

std::string MetadataStoreTest::Digest(int seed) { return Sha256Hex(absl::StrCat(seed)); }

Artifact MetadataStoreTest::AddArtifact(const std::string& project, const std::string& digest,
                                        ArtifactKind kind, int64_t size) {
  UploadSession session;
  session.project = project;
  session.id = absl::StrCat("add-", digest);
  session.digest = digest;
  session.size_bytes = size;
  session.kind = kind;
  absl::StatusOr<UploadSession> opened = store_->BeginUpload(session, 1 << 20, now());
  CHECK_OK(opened.status());
  absl::StatusOr<Artifact> artifact = store_->FinishUpload(project, opened->id, now());
  CHECK_OK(artifact.status());
  CHECK_OK(store_->AbandonUpload(project, opened->id, absl::InfiniteFuture()).status());
  return *artifact;
}

absl::Status MetadataStoreTest::RecordCheckpoint(const AttemptName& attempt, int seed,
                                                 int64_t step) {
  AddArtifact(attempt.project, Digest(seed), ArtifactKind::kCheckpoint);
  Checkpoint checkpoint;
  checkpoint.digest = Digest(seed);
  checkpoint.step = step;
  return store_->RecordCheckpoint(attempt, checkpoint, now());
}

std::vector<JobEvent> MetadataStoreTest::Events(const std::string& id, int64_t after) {
  absl::StatusOr<std::vector<JobEvent>> events = store_->ListEvents({"p", id}, after, 1 << 20);
  CHECK_OK(events.status());
  return *std::move(events);
}

UpdateResult MetadataStoreTest::Report(const AttemptName& attempt, const std::string& progress) {
  AttemptUpdate update;
  update.attempt = attempt;
  update.expires_at = now() + absl::Seconds(30);
  update.progress = progress;
  absl::StatusOr<std::vector<UpdateResult>> results = store_->RecordProgress({update}, now());
  CHECK_OK(results.status());
  return results->at(0);
}

AttemptOutcome MetadataStoreTest::Succeeded() {
  AttemptOutcome outcome;
  outcome.kind = AttemptOutcome::Kind::kSucceeded;
  outcome.result = std::string("result\0of bytes", 15);
  return outcome;
}

AttemptOutcome MetadataStoreTest::Failed(bool retryable) {
  AttemptOutcome outcome;
  outcome.kind = AttemptOutcome::Kind::kFailed;
  outcome.failure = {absl::StatusCode::kInternal, "it broke"};
  outcome.retryable = retryable;
  return outcome;
}

AttemptOutcome MetadataStoreTest::HandedBack() {
  AttemptOutcome outcome;
  outcome.kind = AttemptOutcome::Kind::kHandedBack;
  return outcome;
}

AttemptOutcome MetadataStoreTest::Stopped() {
  AttemptOutcome outcome;
  outcome.kind = AttemptOutcome::Kind::kCancelled;
  return outcome;
}

}  // namespace topiary
