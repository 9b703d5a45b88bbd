#include "server/jobs/sqlite_connection.h"

#include <sqlite3.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// How long to wait for another process that holds the file's lock.
constexpr int kBusyTimeoutMs = 5000;

constexpr int64_t kFuture = std::numeric_limits<int64_t>::max();
constexpr int64_t kPast = std::numeric_limits<int64_t>::min();

absl::Status StatusOf(int code, const std::string& message) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_INTERRUPT:
    case SQLITE_PROTOCOL:
      return WithReason(absl::UnavailableError(message), kReasonStoreUnavailable);
    case SQLITE_FULL:
      return WithReason(absl::ResourceExhaustedError(absl::StrCat(message, ": free disk space")),
                        kReasonStoreFull);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(absl::StrCat(message, ": restore it from a backup"));
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::FailedPreconditionError(
          absl::StrCat(message, ": check that the folder exists and may be written"));
    default:
      return absl::InternalError(message);
  }
}

}  // namespace

SqlValue::SqlValue(absl::Time value)
    : integer_(value == absl::InfiniteFuture() ? kFuture
               : value == absl::InfinitePast() ? kPast
                                               : absl::ToUnixMicros(value)) {}

SqlValue::SqlValue(absl::Duration value) : integer_(absl::ToInt64Microseconds(value)) {}

int64_t SqlRow::Integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqlRow::Bytes(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return size == 0 ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

absl::Time SqlRow::Time(int column) const {
  const int64_t micros = Integer(column);
  if (micros == kFuture) return absl::InfiniteFuture();
  if (micros == kPast) return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

absl::Duration SqlRow::Duration(int column) const { return absl::Microseconds(Integer(column)); }

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(const std::string& path,
                                                                         Mode mode) {
  sqlite3* db = nullptr;
  const int flags =
      SQLITE_OPEN_NOMUTEX |
      (mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  // Even a failed connection carries the message and must be closed.
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(db, path));
  if (code != SQLITE_OK) return connection->Error(code, "open");
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  if (mode == Mode::kReadWrite) {
    RETURN_IF_ERROR(connection->Script(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"));
  }
  return connection;
}

SqliteConnection::~SqliteConnection() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement.handle);
  sqlite3_close(db_);
}

absl::Status SqliteConnection::Error(int code, absl::string_view doing) const {
  return StatusOf(code, absl::StrCat("database ", path_, ": ", doing, ": ",
                                     db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db_)));
}

bool SqliteConnection::InTransaction() const { return sqlite3_get_autocommit(db_) == 0; }

absl::Status SqliteConnection::Script(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code, sql.substr(0, 60));
}

absl::StatusOr<SqliteConnection::Statement*> SqliteConnection::Prepare(absl::string_view sql) {
  const auto it = statements_.find(sql);
  if (it != statements_.end()) return &it->second;
  Statement statement;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement.handle, nullptr);
  if (code != SQLITE_OK) return Error(code, sql);
  for (int n = 1; n <= sqlite3_bind_parameter_count(statement.handle); ++n) {
    statement.parameters.push_back(
        sqlite3_bind_parameter_index(statement.handle, absl::StrCat("$", n).c_str()));
  }
  return &statements_.emplace(sql, std::move(statement)).first->second;
}

absl::Status SqliteConnection::Bind(const Statement& statement, absl::Span<const SqlValue> values) {
  if (values.size() != statement.parameters.size()) {
    return absl::InternalError(absl::StrCat(values.size(), " values for ",
                                            statement.parameters.size(),
                                            " parameters of: ", sqlite3_sql(statement.handle)));
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const SqlValue& value = values[i];
    const int index = statement.parameters[i];
    int code = SQLITE_OK;
    switch (value.type_) {
      case SqlValue::kInteger:
        code = sqlite3_bind_int64(statement.handle, index, value.integer_);
        break;
      case SqlValue::kText:
        code = sqlite3_bind_text64(statement.handle, index,
                                   value.bytes_.data() == nullptr ? "" : value.bytes_.data(),
                                   value.bytes_.size(), SQLITE_STATIC, SQLITE_UTF8);
        break;
      case SqlValue::kBlob:
        code = sqlite3_bind_blob64(statement.handle, index,
                                   value.bytes_.data() == nullptr ? "" : value.bytes_.data(),
                                   value.bytes_.size(), SQLITE_STATIC);
        break;
    }
    if (code != SQLITE_OK) return Error(code, "bind");
  }
  return absl::OkStatus();
}

absl::Status SqliteConnection::Execute(absl::string_view sql, absl::Span<const SqlValue> values) {
  return Query(sql, values, [](const SqlRow&) {});
}

absl::Status SqliteConnection::Query(absl::string_view sql, absl::Span<const SqlValue> values,
                                     absl::FunctionRef<void(const SqlRow&)> on_row) {
  ASSIGN_OR_RETURN(Statement * statement, Prepare(sql));
  absl::Status status = Bind(*statement, values);
  if (status.ok()) {
    int code = sqlite3_step(statement->handle);
    for (; code == SQLITE_ROW; code = sqlite3_step(statement->handle)) {
      on_row(SqlRow(statement->handle));
    }
    if (code != SQLITE_DONE) status = Error(code, sql);
  }
  sqlite3_reset(statement->handle);
  sqlite3_clear_bindings(statement->handle);
  return status;
}

}  // namespace topiary
