#ifndef TOPIARY_SERVER_JOBS_SQL_ARTIFACT_QUERIES_H_
#define TOPIARY_SERVER_JOBS_SQL_ARTIFACT_QUERIES_H_

// The SQL about artifacts and uploads, for SQLite and PostgreSQL alike: see sql_job_queries.h.
namespace topiary {
namespace sql {

#define TOPIARY_ARTIFACT_COLUMNS "project, digest, size_bytes, kind, display_name, create_time"
#define TOPIARY_UPLOAD_COLUMNS \
  "project, id, digest, size_bytes, kind, display_name, create_time, update_time, finished"

inline constexpr char kFindArtifact[] =
    "SELECT " TOPIARY_ARTIFACT_COLUMNS " FROM artifacts WHERE project = $1 AND digest = $2";
inline constexpr char kPutArtifact[] =
    "INSERT INTO artifacts (" TOPIARY_ARTIFACT_COLUMNS
    ") VALUES ($1, $2, $3, $4, $5, $6)"
    " ON CONFLICT (project, digest) DO UPDATE SET kind = excluded.kind,"
    " create_time = excluded.create_time";
inline constexpr char kDeleteArtifact[] =
    "DELETE FROM artifacts WHERE project = $1 AND digest = $2";
// $4 has bit `kind` set for each kind wanted.
inline constexpr char kListArtifacts[] =
    "SELECT " TOPIARY_ARTIFACT_COLUMNS
    " FROM artifacts WHERE project = $1"
    " AND (create_time < $2 OR (create_time = $2 AND digest > $3)) AND ($4 & (1 << kind)) <> 0"
    " ORDER BY create_time DESC, digest LIMIT $5";
inline constexpr char kHasContent[] = "SELECT 1 FROM artifacts WHERE digest = $1 LIMIT 1";
inline constexpr char kTotalBytes[] =
    "SELECT COALESCE(SUM(size_bytes), 0) FROM"
    " (SELECT digest, MAX(size_bytes) AS size_bytes FROM artifacts GROUP BY digest) AS contents";

// Direction 1 is input; states below 3 have not ended.
inline constexpr char kFindLiveUser[] =
    "SELECT jobs.id FROM jobs WHERE project = $1 AND state < 3 AND ("
    "id IN (SELECT job FROM job_artifacts WHERE project = $1 AND digest = $2 AND direction = 1) OR "
    "id IN (SELECT job FROM job_checkpoints WHERE project = $1 AND digest = $2))"
    " ORDER BY jobs.id LIMIT 1";
inline constexpr char kIsReferenced[] =
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM job_artifacts WHERE project = $1 AND digest = $2)"
    " OR EXISTS (SELECT 1 FROM job_checkpoints WHERE project = $1 AND digest = $2)";
// Kind 3 is CHECKPOINT.
inline constexpr char kListOrphanCheckpoints[] =
    "SELECT " TOPIARY_ARTIFACT_COLUMNS
    " FROM artifacts WHERE kind = 3 AND create_time < $1"
    " AND NOT EXISTS (SELECT 1 FROM job_checkpoints WHERE job_checkpoints.project ="
    " artifacts.project AND job_checkpoints.digest = artifacts.digest)"
    " AND NOT EXISTS (SELECT 1 FROM job_artifacts WHERE job_artifacts.project ="
    " artifacts.project AND job_artifacts.digest = artifacts.digest) LIMIT $2";

inline constexpr char kFindUpload[] =
    "SELECT " TOPIARY_UPLOAD_COLUMNS " FROM uploads WHERE project = $1 AND id = $2";
inline constexpr char kFindOpenUpload[] =
    "SELECT " TOPIARY_UPLOAD_COLUMNS
    " FROM uploads WHERE project = $1 AND digest = $2 AND size_bytes = $3 AND finished = 0"
    " ORDER BY create_time, id LIMIT 1";
inline constexpr char kCountOpenUploads[] =
    "SELECT COUNT(*) FROM uploads WHERE project = $1 AND finished = 0";
inline constexpr char kIsOpenUpload[] =
    "SELECT 1 FROM uploads WHERE id = $1 AND finished = 0 LIMIT 1";
inline constexpr char kPutUpload[] =
    "INSERT INTO uploads (" TOPIARY_UPLOAD_COLUMNS
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (project, id) DO UPDATE SET kind = excluded.kind,"
    " update_time = excluded.update_time, finished = excluded.finished";
inline constexpr char kDeleteUpload[] = "DELETE FROM uploads WHERE project = $1 AND id = $2";
inline constexpr char kListIdleUploads[] =
    "SELECT " TOPIARY_UPLOAD_COLUMNS
    " FROM uploads WHERE update_time < $1 ORDER BY update_time, id LIMIT $2";

#undef TOPIARY_ARTIFACT_COLUMNS
#undef TOPIARY_UPLOAD_COLUMNS

}  // namespace sql
}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQL_ARTIFACT_QUERIES_H_
