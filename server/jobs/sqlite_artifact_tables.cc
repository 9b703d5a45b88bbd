// The half of SqliteTables about artifacts and uploads.

#include <utility>

#include "common/status_macros.h"
#include "server/jobs/sql_artifact_queries.h"
#include "server/jobs/sqlite_tables.h"

namespace topiary {
namespace {

Artifact ReadArtifact(const SqlRow& row) {
  Artifact artifact;
  artifact.project = row.Bytes(0);
  artifact.digest = row.Bytes(1);
  artifact.size_bytes = row.Integer(2);
  artifact.kind = static_cast<ArtifactKind>(row.Integer(3));
  artifact.display_name = row.Bytes(4);
  artifact.create_time = row.Time(5);
  return artifact;
}

UploadSession ReadUpload(const SqlRow& row) {
  UploadSession session;
  session.project = row.Bytes(0);
  session.id = row.Bytes(1);
  session.digest = row.Bytes(2);
  session.size_bytes = row.Integer(3);
  session.kind = static_cast<ArtifactKind>(row.Integer(4));
  session.display_name = row.Bytes(5);
  session.create_time = row.Time(6);
  session.update_time = row.Time(7);
  session.finished = row.Boolean(8);
  return session;
}

template <typename T>
std::optional<T> First(std::vector<T> rows) {
  return rows.empty() ? std::nullopt : std::optional<T>(std::move(rows[0]));
}

}  // namespace

absl::StatusOr<std::vector<Artifact>> SqliteTables::QueryArtifacts(
    absl::string_view sql, absl::Span<const SqlValue> values) {
  std::vector<Artifact> artifacts;
  RETURN_IF_ERROR(
      db_->Query(sql, values, [&](const SqlRow& row) { artifacts.push_back(ReadArtifact(row)); }));
  return artifacts;
}

absl::StatusOr<std::vector<UploadSession>> SqliteTables::QueryUploads(
    absl::string_view sql, absl::Span<const SqlValue> values) {
  std::vector<UploadSession> sessions;
  RETURN_IF_ERROR(
      db_->Query(sql, values, [&](const SqlRow& row) { sessions.push_back(ReadUpload(row)); }));
  return sessions;
}

absl::StatusOr<std::optional<Artifact>> SqliteTables::FindArtifact(const std::string& project,
                                                                   const std::string& digest) {
  ASSIGN_OR_RETURN(auto artifacts, QueryArtifacts(sql::kFindArtifact, {project, digest}));
  return First(std::move(artifacts));
}

absl::Status SqliteTables::PutArtifact(const Artifact& artifact) {
  return db_->Execute(sql::kPutArtifact, {artifact.project, artifact.digest, artifact.size_bytes,
                                          static_cast<int>(artifact.kind), artifact.display_name,
                                          artifact.create_time});
}

absl::Status SqliteTables::DeleteArtifact(const std::string& project, const std::string& digest) {
  return db_->Execute(sql::kDeleteArtifact, {project, digest});
}

absl::StatusOr<std::vector<Artifact>> SqliteTables::ListArtifacts(const ArtifactQuery& query,
                                                                  const PageCursor& cursor,
                                                                  int limit) {
  int64_t kinds = 0;
  for (ArtifactKind kind : query.kinds) kinds |= int64_t{1} << static_cast<int>(kind);
  if (query.kinds.empty()) kinds = ~(int64_t{1} << static_cast<int>(ArtifactKind::kCheckpoint));
  return QueryArtifacts(sql::kListArtifacts,
                        {query.project, cursor.create_time, cursor.id, kinds, limit});
}

absl::StatusOr<bool> SqliteTables::HasContent(const std::string& digest) {
  ASSIGN_OR_RETURN(const int64_t found, QueryInteger(sql::kHasContent, {digest}));
  return found != 0;
}

absl::StatusOr<int64_t> SqliteTables::TotalBytes() { return QueryInteger(sql::kTotalBytes, {}); }

absl::StatusOr<std::optional<JobName>> SqliteTables::FindLiveUser(const std::string& project,
                                                                  const std::string& digest) {
  std::optional<JobName> user;
  RETURN_IF_ERROR(db_->Query(sql::kFindLiveUser, {project, digest}, [&](const SqlRow& row) {
    user = JobName{project, row.Bytes(0)};
  }));
  return user;
}

absl::StatusOr<bool> SqliteTables::IsReferenced(const std::string& project,
                                                const std::string& digest) {
  ASSIGN_OR_RETURN(const int64_t found, QueryInteger(sql::kIsReferenced, {project, digest}));
  return found != 0;
}

absl::StatusOr<std::vector<Artifact>> SqliteTables::ListOrphanCheckpoints(absl::Time before,
                                                                          int limit) {
  return QueryArtifacts(sql::kListOrphanCheckpoints, {before, limit});
}

absl::StatusOr<std::optional<UploadSession>> SqliteTables::FindUpload(const std::string& project,
                                                                      const std::string& id) {
  ASSIGN_OR_RETURN(auto sessions, QueryUploads(sql::kFindUpload, {project, id}));
  return First(std::move(sessions));
}

absl::StatusOr<std::optional<UploadSession>> SqliteTables::FindOpenUpload(
    const UploadSession& like) {
  ASSIGN_OR_RETURN(auto sessions, QueryUploads(sql::kFindOpenUpload,
                                               {like.project, like.digest, like.size_bytes}));
  return First(std::move(sessions));
}

absl::StatusOr<int64_t> SqliteTables::CountOpenUploads(const std::string& project) {
  return QueryInteger(sql::kCountOpenUploads, {project});
}

absl::StatusOr<bool> SqliteTables::IsOpenUpload(const std::string& id) {
  ASSIGN_OR_RETURN(const int64_t found, QueryInteger(sql::kIsOpenUpload, {id}));
  return found != 0;
}

absl::Status SqliteTables::PutUpload(const UploadSession& session) {
  return db_->Execute(sql::kPutUpload,
                      {session.project, session.id, session.digest, session.size_bytes,
                       static_cast<int>(session.kind), session.display_name, session.create_time,
                       session.update_time, session.finished});
}

absl::Status SqliteTables::DeleteUpload(const std::string& project, const std::string& id) {
  return db_->Execute(sql::kDeleteUpload, {project, id});
}

absl::StatusOr<std::vector<UploadSession>> SqliteTables::ListIdleUploads(absl::Time before,
                                                                         int limit) {
  return QueryUploads(sql::kListIdleUploads, {before, limit});
}

}  // namespace topiary
