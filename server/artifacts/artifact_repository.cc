#include "server/artifacts/artifact_repository.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/artifacts/artifact_errors.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// Rows and files that garbage collection looks at in one go.
constexpr int kBatch = 1000;

// How much an upload's sign of life may be out of date: saves a write for each chunk.
constexpr absl::Duration kTouchInterval = absl::Minutes(1);

}  // namespace

ArtifactRepository::ArtifactRepository(ArtifactLimits limits, ArtifactCatalog* catalog,
                                       ArtifactStore* store, Clock* clock,
                                       std::function<std::string()> new_id)
    : limits_(limits),
      catalog_(catalog),
      store_(store),
      clock_(clock),
      new_id_(std::move(new_id)) {}

absl::StatusOr<UploadStatus> ArtifactRepository::StatusOf(const UploadSession& session) {
  // A call that finishes the upload meanwhile must not find it begun anew.
  const DigestLocks::Claim claim = locks_.Acquire(session.digest);
  UploadStatus status;
  ASSIGN_OR_RETURN(status.session, catalog_->GetUpload(session.project, session.id));
  if (status.session.finished) {
    ASSIGN_OR_RETURN(status.artifact, catalog_->GetArtifact(session.project, session.digest));
    status.committed_bytes = session.size_bytes;
    return status;
  }
  RETURN_IF_ERROR(store_->CreateUpload(session.id));
  ASSIGN_OR_RETURN(status.committed_bytes, store_->UploadOffset(session.id));
  return status;
}

absl::StatusOr<std::optional<Artifact>> ArtifactRepository::FindKnown(
    const BeginUploadRequest& request) {
  absl::StatusOr<Artifact> known = catalog_->GetArtifact(request.project, request.digest);
  if (absl::IsNotFound(known.status())) return std::nullopt;
  RETURN_IF_ERROR(known.status());
  if (known->size_bytes != request.size_bytes) return std::nullopt;
  // A record whose bytes were lost or cut short must not keep them from being sent again.
  const absl::StatusOr<std::unique_ptr<BlobReader>> bytes = store_->Open(request.digest);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  if ((*bytes)->size() != request.size_bytes) return std::nullopt;
  if (known->kind == ArtifactKind::kCheckpoint) {
    known = catalog_->RenewCheckpoint(request.project, request.digest, request.kind, clock_->Now());
    if (absl::IsNotFound(known.status())) return std::nullopt;  // collected meanwhile
    RETURN_IF_ERROR(known.status());
  }
  return *std::move(known);
}

absl::StatusOr<UploadStatus> ArtifactRepository::BeginUpload(const BeginUploadRequest& request) {
  RETURN_IF_ERROR(CheckDigest(request.digest));
  if (request.size_bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("size_bytes is ", request.size_bytes, ", which is negative"));
  }
  if (request.size_bytes > limits_.max_artifact_bytes) {
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat("an artifact of ", request.size_bytes,
                                       " bytes is over the limit of ", limits_.max_artifact_bytes)),
                      kReasonArtifactTooLarge);
  }
  ASSIGN_OR_RETURN(std::optional<Artifact> known, FindKnown(request));
  if (known.has_value()) {
    UploadStatus status;
    status.committed_bytes = known->size_bytes;
    status.artifact = *std::move(known);
    return status;
  }
  UploadSession session;
  session.project = request.project;
  session.id = new_id_();
  session.digest = request.digest;
  session.size_bytes = request.size_bytes;
  session.kind = request.kind;
  session.display_name = request.display_name;
  ASSIGN_OR_RETURN(session,
                   catalog_->BeginUpload(session, limits_.max_open_uploads, clock_->Now()));
  return StatusOf(session);
}

absl::StatusOr<UploadStatus> ArtifactRepository::GetUpload(const std::string& project,
                                                           const std::string& upload) {
  ASSIGN_OR_RETURN(const UploadSession session, catalog_->GetUpload(project, upload));
  return StatusOf(session);
}

absl::StatusOr<int64_t> ArtifactRepository::WriteUpload(const std::string& project,
                                                        const std::string& upload, int64_t offset,
                                                        absl::string_view bytes) {
  ASSIGN_OR_RETURN(const UploadSession session, catalog_->GetUpload(project, upload));
  if (session.finished) return OffsetMismatch(upload, offset, session.size_bytes);
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (offset < 0 || offset > session.size_bytes || size > session.size_bytes - offset) {
    return absl::InvalidArgumentError(
        absl::StrCat("upload ", upload, ": ", size, " bytes at offset ", offset,
                     " go beyond the announced size, ", session.size_bytes));
  }
  ASSIGN_OR_RETURN(const int64_t committed, store_->AppendUpload(upload, offset, bytes));
  const absl::Time now = clock_->Now();
  if (now - session.update_time > kTouchInterval) {
    RETURN_IF_ERROR(catalog_->TouchUpload(project, upload, now));
  }
  return committed;
}

absl::StatusOr<Artifact> ArtifactRepository::FinishUpload(const std::string& project,
                                                          const std::string& upload) {
  ASSIGN_OR_RETURN(UploadSession session, catalog_->GetUpload(project, upload));
  // From here until the record exists, garbage collection must leave these bytes alone.
  const DigestLocks::Claim claim = locks_.Acquire(session.digest);
  // Another call may have finished it while this one waited for the claim.
  ASSIGN_OR_RETURN(session, catalog_->GetUpload(project, upload));
  if (session.finished) return catalog_->GetArtifact(project, session.digest);
  const absl::Status committed = store_->CommitUpload(upload, session.digest, session.size_bytes);
  if (absl::IsNotFound(committed)) {
    RETURN_IF_ERROR(store_->CreateUpload(upload));
    return UploadIncomplete(upload, 0, session.size_bytes);
  }
  RETURN_IF_ERROR(committed);
  ASSIGN_OR_RETURN(Artifact artifact, catalog_->FinishUpload(project, upload, clock_->Now()));
  // What is left of the upload is garbage now; if this fails, it is collected later.
  store_->AbandonUpload(upload).IgnoreError();
  return artifact;
}

absl::StatusOr<Artifact> ArtifactRepository::Store(const std::string& project,
                                                   const std::string& digest,
                                                   absl::string_view bytes, ArtifactKind kind,
                                                   const std::string& display_name) {
  ASSIGN_OR_RETURN(
      const UploadStatus upload,
      BeginUpload({project, digest, static_cast<int64_t>(bytes.size()), kind, display_name}));
  if (upload.artifact.has_value()) return *upload.artifact;
  const std::string& id = upload.session.id;
  const absl::string_view rest = bytes.substr(upload.committed_bytes);
  if (!rest.empty()) {
    RETURN_IF_ERROR(WriteUpload(project, id, upload.committed_bytes, rest).status());
  }
  return FinishUpload(project, id);
}

absl::StatusOr<OpenArtifact> ArtifactRepository::Open(const std::string& project,
                                                      const std::string& digest) {
  OpenArtifact open;
  ASSIGN_OR_RETURN(open.artifact, catalog_->GetArtifact(project, digest));
  absl::StatusOr<std::unique_ptr<BlobReader>> reader = store_->Open(digest);
  if (absl::IsNotFound(reader.status())) {
    return absl::DataLossError(absl::StrCat("the bytes of artifact ", digest,
                                            " are missing from the store: upload it again"));
  }
  RETURN_IF_ERROR(reader.status());
  open.reader = *std::move(reader);
  return open;
}

absl::StatusOr<Artifact> ArtifactRepository::Get(const std::string& project,
                                                 const std::string& digest) {
  return catalog_->GetArtifact(project, digest);
}

absl::StatusOr<ArtifactPage> ArtifactRepository::List(const ArtifactQuery& query) {
  return catalog_->ListArtifacts(query);
}

absl::Status ArtifactRepository::Delete(const std::string& project, const std::string& digest) {
  return catalog_->DeleteArtifact(project, digest);
}

absl::StatusOr<GarbageCollected> ArtifactRepository::CollectGarbage() {
  GarbageCollected collected;
  absl::Status first = CollectUploads(&collected);
  first.Update(CollectPartials(&collected));
  first.Update(CollectCheckpoints(&collected));
  first.Update(CollectBlobs(&collected));
  RETURN_IF_ERROR(first);
  return collected;
}

absl::Status ArtifactRepository::CollectUploads(GarbageCollected* collected) {
  const absl::Time before = clock_->Now() - limits_.upload_idle;
  ASSIGN_OR_RETURN(const std::vector<UploadSession> idle,
                   catalog_->ListIdleUploads(before, kBatch));
  absl::Status first;
  for (const UploadSession& session : idle) {
    ASSIGN_OR_RETURN(const bool abandoned,
                     catalog_->AbandonUpload(session.project, session.id, before));
    if (!abandoned) continue;  // it was gone on with meanwhile
    first.Update(store_->AbandonUpload(session.id));
    if (!session.finished) ++collected->uploads;
  }
  return first;
}

absl::Status ArtifactRepository::CollectPartials(GarbageCollected* collected) {
  ASSIGN_OR_RETURN(const std::vector<PartialInfo> partials, store_->ListUploads());
  std::vector<std::string> old;
  for (const PartialInfo& partial : partials) {
    if (partial.modify_time < clock_->Now() - limits_.garbage_age) old.push_back(partial.upload);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> closed, catalog_->SelectClosedUploads(old));
  absl::Status first;
  for (const std::string& upload : closed) {
    const absl::Status abandoned = store_->AbandonUpload(upload);
    first.Update(abandoned);
    if (abandoned.ok()) ++collected->partials;
  }
  return first;
}

absl::Status ArtifactRepository::CollectCheckpoints(GarbageCollected* collected) {
  ASSIGN_OR_RETURN(collected->checkpoints,
                   catalog_->DeleteUnreferencedCheckpoints(clock_->Now() - limits_.garbage_age));
  return absl::OkStatus();
}

absl::Status ArtifactRepository::CollectBlobs(GarbageCollected* collected) {
  std::string after;
  absl::Status first;  // one bad blob must not keep the others
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<BlobInfo> blobs, store_->ListBlobs(after, kBatch));
    if (blobs.empty()) return first;
    after = blobs.back().digest;
    for (const BlobInfo& blob : blobs) {
      if (blob.modify_time >= clock_->Now() - limits_.garbage_age) continue;
      first.Update(CollectBlob(blob, collected));
    }
  }
}

absl::Status ArtifactRepository::CollectBlob(const BlobInfo& blob, GarbageCollected* collected) {
  const DigestLocks::Claim claim = locks_.Acquire(blob.digest);
  ASSIGN_OR_RETURN(const std::vector<std::string> unreferenced,
                   catalog_->SelectUnreferenced({blob.digest}));
  if (unreferenced.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(store_->Delete(blob.digest));
  ++collected->blobs;
  collected->bytes += blob.size_bytes;
  return absl::OkStatus();
}

}  // namespace topiary
