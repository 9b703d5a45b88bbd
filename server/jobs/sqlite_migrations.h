#ifndef TOPIARY_SERVER_JOBS_SQLITE_MIGRATIONS_H_
#define TOPIARY_SERVER_JOBS_SQLITE_MIGRATIONS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/jobs/sqlite_connection.h"

namespace topiary {

// One numbered step of the schema: a file of schema/sqlite, embedded when the program is built.
// Once released, a file is never edited: a change of the schema is a new file.
struct Migration {
  int version;             // 1, 2, 3, ... without gaps
  absl::string_view name;  // "0001_init"
  absl::string_view sql;
};

// All files of schema/sqlite, in order.
absl::Span<const Migration> SqliteMigrations();

// Brings the database up to the last of `migrations`: each in a transaction of its own, with a
// record of it in the table schema_migrations. FAILED_PRECONDITION if the database is newer than
// they are.
absl::Status ApplyMigrations(SqliteConnection* connection, absl::Span<const Migration> migrations,
                             absl::Time now);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQLITE_MIGRATIONS_H_
