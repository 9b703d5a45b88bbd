#include "server/jobs/sqlite_migrations.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

absl::Status Apply(SqliteConnection* connection, const Migration& migration, absl::Time now) {
  RETURN_IF_ERROR(connection->Execute("BEGIN IMMEDIATE"));
  absl::Status status = connection->Script(std::string(migration.sql));
  if (status.ok()) {
    status = connection->Execute(
        "INSERT INTO schema_migrations (version, name, apply_time) VALUES ($1, $2, $3)",
        {migration.version, migration.name, now});
  }
  if (status.ok()) status = connection->Execute("COMMIT");
  if (status.ok()) return status;
  if (connection->InTransaction()) connection->Execute("ROLLBACK").IgnoreError();
  return absl::Status(status.code(),
                      absl::StrCat("schema migration ", migration.name, ": ", status.message()));
}

}  // namespace

absl::Status ApplyMigrations(SqliteConnection* connection, absl::Span<const Migration> migrations,
                             absl::Time now) {
  RETURN_IF_ERROR(connection->Execute(
      "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, "
      "name TEXT NOT NULL, apply_time BIGINT NOT NULL)"));
  int64_t applied = 0;
  RETURN_IF_ERROR(connection->Query("SELECT COALESCE(MAX(version), 0) FROM schema_migrations", {},
                                    [&](const SqlRow& row) { applied = row.Integer(0); }));
  const int known = migrations.empty() ? 0 : migrations.back().version;
  if (applied > known) {
    return absl::FailedPreconditionError(
        absl::StrCat("the database has schema version ", applied, ", this program knows ", known,
                     ": start the version of topiary-server that wrote it, or a newer one"));
  }
  for (const Migration& migration : migrations) {
    if (migration.version > applied) RETURN_IF_ERROR(Apply(connection, migration, now));
  }
  return absl::OkStatus();
}

}  // namespace topiary
