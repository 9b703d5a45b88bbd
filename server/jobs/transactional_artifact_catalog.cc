// The half of TransactionalMetadataStore that is an ArtifactCatalog.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/page_token.h"
#include "server/jobs/status_reason.h"
#include "server/jobs/transactional_metadata_store.h"

namespace topiary {
namespace {

// Checkpoints whose worker died are few; what one call leaves, the next one takes.
constexpr int kOrphansPerCall = 1000;

absl::StatusOr<UploadSession> LoadUpload(MetadataTables& tables, const std::string& project,
                                         const std::string& id) {
  ASSIGN_OR_RETURN(std::optional<UploadSession> session, tables.FindUpload(project, id));
  if (!session.has_value()) {
    return WithReason(absl::NotFoundError(absl::StrCat("there is no upload projects/", project,
                                                       "/uploads/", id, ": begin a new one")),
                      kReasonUploadNotFound);
  }
  return *std::move(session);
}

absl::StatusOr<Artifact> LoadArtifact(MetadataTables& tables, const std::string& project,
                                      const std::string& digest) {
  ASSIGN_OR_RETURN(std::optional<Artifact> artifact, tables.FindArtifact(project, digest));
  if (!artifact.has_value()) {
    return WithReason(
        absl::NotFoundError(absl::StrCat("project ", project, " has no artifact ", digest)),
        kReasonArtifactNotFound);
  }
  return *std::move(artifact);
}

std::string QueryKey(const ArtifactQuery& query) {
  std::vector<ArtifactKind> kinds = query.kinds;
  std::sort(kinds.begin(), kinds.end());
  std::string key = absl::StrCat("artifacts\n", query.project);
  for (ArtifactKind kind : kinds) absl::StrAppend(&key, "\n", static_cast<int>(kind));
  return key;
}

Artifact ArtifactOf(const UploadSession& session, absl::Time now) {
  Artifact artifact;
  artifact.project = session.project;
  artifact.digest = session.digest;
  artifact.size_bytes = session.size_bytes;
  artifact.kind = session.kind;
  artifact.display_name = session.display_name;
  artifact.create_time = now;
  return artifact;
}

// What becomes of a record whose bytes are uploaded again.
void Renew(ArtifactKind kind, absl::Time now, Artifact* artifact) {
  if (artifact->kind != ArtifactKind::kCheckpoint) return;
  artifact->kind = kind;
  artifact->create_time = now;
}

}  // namespace

absl::StatusOr<UploadSession> TransactionalMetadataStore::BeginUpload(const UploadSession& session,
                                                                      int max_open,
                                                                      absl::Time now) {
  UploadSession opened;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(std::optional<UploadSession> same, tables.FindOpenUpload(session));
    if (same.has_value()) {
      opened = *std::move(same);
      opened.update_time = now;
      if (opened.kind == ArtifactKind::kCheckpoint) opened.kind = session.kind;
      return tables.PutUpload(opened);
    }
    ASSIGN_OR_RETURN(const int64_t open, tables.CountOpenUploads(session.project));
    if (open >= max_open) {
      return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                            "project ", session.project, " has ", open,
                            " unfinished uploads, which is its limit: finish one, or wait until an "
                            "idle one is dropped")),
                        kReasonTooManyUploads);
    }
    opened = session;
    opened.create_time = opened.update_time = now;
    opened.finished = false;
    return tables.PutUpload(opened);
  }));
  return opened;
}

absl::StatusOr<UploadSession> TransactionalMetadataStore::GetUpload(const std::string& project,
                                                                    const std::string& id) {
  UploadSession session;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(session, LoadUpload(tables, project, id));
    return absl::OkStatus();
  }));
  return session;
}

absl::Status TransactionalMetadataStore::TouchUpload(const std::string& project,
                                                     const std::string& id, absl::Time now) {
  return Write([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(UploadSession session, LoadUpload(tables, project, id));
    session.update_time = std::max(session.update_time, now);
    return tables.PutUpload(session);
  });
}

absl::StatusOr<Artifact> TransactionalMetadataStore::FinishUpload(const std::string& project,
                                                                  const std::string& id,
                                                                  absl::Time now) {
  Artifact artifact;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(UploadSession session, LoadUpload(tables, project, id));
    if (session.finished) {
      ASSIGN_OR_RETURN(artifact, LoadArtifact(tables, project, session.digest));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::optional<Artifact> same, tables.FindArtifact(project, session.digest));
    artifact = same.has_value() ? *same : ArtifactOf(session, now);
    Renew(session.kind, now, &artifact);
    RETURN_IF_ERROR(tables.PutArtifact(artifact));
    session.finished = true;
    session.update_time = now;
    return tables.PutUpload(session);
  }));
  return artifact;
}

absl::StatusOr<bool> TransactionalMetadataStore::AbandonUpload(const std::string& project,
                                                               const std::string& id,
                                                               absl::Time before) {
  bool abandoned = false;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(const std::optional<UploadSession> session, tables.FindUpload(project, id));
    abandoned = session.has_value() && session->update_time < before;
    return abandoned ? tables.DeleteUpload(project, id) : absl::OkStatus();
  }));
  return abandoned;
}

absl::StatusOr<std::vector<UploadSession>> TransactionalMetadataStore::ListIdleUploads(
    absl::Time before, int limit) {
  std::vector<UploadSession> sessions;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(sessions, tables.ListIdleUploads(before, limit));
    return absl::OkStatus();
  }));
  return sessions;
}

absl::StatusOr<Artifact> TransactionalMetadataStore::GetArtifact(const std::string& project,
                                                                 const std::string& digest) {
  Artifact artifact;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(artifact, LoadArtifact(tables, project, digest));
    return absl::OkStatus();
  }));
  return artifact;
}

absl::StatusOr<Artifact> TransactionalMetadataStore::RenewCheckpoint(const std::string& project,
                                                                     const std::string& digest,
                                                                     ArtifactKind kind,
                                                                     absl::Time now) {
  Artifact artifact;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(artifact, LoadArtifact(tables, project, digest));
    Renew(kind, now, &artifact);
    return tables.PutArtifact(artifact);
  }));
  return artifact;
}

absl::StatusOr<ArtifactPage> TransactionalMetadataStore::ListArtifacts(const ArtifactQuery& query) {
  if (query.page_size < 1 || query.page_size > kMaxPageSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("page size ", query.page_size, " is not in 1..", kMaxPageSize));
  }
  const std::string key = QueryKey(query);
  ASSIGN_OR_RETURN(const PageCursor cursor, DecodePageToken(query.page_token, key));
  ArtifactPage page;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(page.artifacts, tables.ListArtifacts(query, cursor, query.page_size + 1));
    return absl::OkStatus();
  }));
  if (page.artifacts.size() > static_cast<size_t>(query.page_size)) {
    page.artifacts.pop_back();
    const Artifact& last = page.artifacts.back();
    page.next_page_token = EncodePageToken({last.create_time, last.digest}, key);
  }
  return page;
}

absl::Status TransactionalMetadataStore::DeleteArtifact(const std::string& project,
                                                        const std::string& digest) {
  return Write([&](MetadataTables& tables) {
    RETURN_IF_ERROR(LoadArtifact(tables, project, digest).status());
    ASSIGN_OR_RETURN(const std::optional<JobName> user, tables.FindLiveUser(project, digest));
    if (user.has_value()) {
      return WithMetadata(WithReason(absl::FailedPreconditionError(absl::StrCat(
                                         "artifact ", digest, " is needed by ", ToString(*user),
                                         ", which has not ended: cancel it or wait")),
                                     kReasonArtifactInUse),
                          "job", ToString(*user));
    }
    return tables.DeleteArtifact(project, digest);
  });
}

absl::StatusOr<int> TransactionalMetadataStore::DeleteUnreferencedCheckpoints(absl::Time before) {
  int deleted = 0;
  RETURN_IF_ERROR(Write([&](MetadataTables& tables) {
    deleted = 0;
    ASSIGN_OR_RETURN(const std::vector<Artifact> orphans,
                     tables.ListOrphanCheckpoints(before, kOrphansPerCall));
    for (const Artifact& orphan : orphans) {
      RETURN_IF_ERROR(tables.DeleteArtifact(orphan.project, orphan.digest));
      ++deleted;
    }
    return absl::OkStatus();
  }));
  return deleted;
}

absl::StatusOr<std::vector<std::string>> TransactionalMetadataStore::SelectUnreferenced(
    const std::vector<std::string>& digests) {
  std::vector<std::string> unreferenced;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    unreferenced.clear();
    for (const std::string& digest : digests) {
      ASSIGN_OR_RETURN(const bool has, tables.HasContent(digest));
      if (!has) unreferenced.push_back(digest);
    }
    return absl::OkStatus();
  }));
  return unreferenced;
}

absl::StatusOr<std::vector<std::string>> TransactionalMetadataStore::SelectClosedUploads(
    const std::vector<std::string>& ids) {
  std::vector<std::string> closed;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    closed.clear();
    for (const std::string& id : ids) {
      ASSIGN_OR_RETURN(const bool open, tables.IsOpenUpload(id));
      if (!open) closed.push_back(id);
    }
    return absl::OkStatus();
  }));
  return closed;
}

absl::StatusOr<int64_t> TransactionalMetadataStore::TotalBytes() {
  int64_t bytes = 0;
  RETURN_IF_ERROR(Read([&](MetadataTables& tables) {
    ASSIGN_OR_RETURN(bytes, tables.TotalBytes());
    return absl::OkStatus();
  }));
  return bytes;
}

}  // namespace topiary
