#ifndef TOPIARY_SERVER_JOBS_SQLITE_CONNECTION_H_
#define TOPIARY_SERVER_JOBS_SQLITE_CONNECTION_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

struct sqlite3;
struct sqlite3_stmt;

namespace topiary {

// A value for a parameter of a statement. A view: what it was made of must outlive the call.
class SqlValue {
 public:
  SqlValue(int value) : integer_(value) {}                        // NOLINT: meant to convert
  SqlValue(int64_t value) : integer_(value) {}                    // NOLINT
  SqlValue(bool value) : integer_(value ? 1 : 0) {}               // NOLINT
  SqlValue(absl::Time value);                                     // NOLINT
  SqlValue(absl::Duration value);                                 // NOLINT
  SqlValue(absl::string_view value) : SqlValue(value, kText) {}   // NOLINT
  SqlValue(const std::string& value) : SqlValue(value, kText) {}  // NOLINT
  SqlValue(const char* value) : SqlValue(value, kText) {}         // NOLINT
  static SqlValue Blob(absl::string_view value) { return SqlValue(value, kBlob); }

 private:
  friend class SqliteConnection;
  enum Type { kInteger, kText, kBlob };
  SqlValue(absl::string_view bytes, Type type) : type_(type), bytes_(bytes) {}

  Type type_ = kInteger;
  int64_t integer_ = 0;
  absl::string_view bytes_;
};

// The current row of a running query; columns count from 0. Good until the callback returns.
class SqlRow {
 public:
  explicit SqlRow(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Integer(int column) const;
  bool Boolean(int column) const { return Integer(column) != 0; }
  std::string Bytes(int column) const;  // of TEXT and BLOB
  absl::Time Time(int column) const;
  absl::Duration Duration(int column) const;

 private:
  sqlite3_stmt* const statement_;
};

// One connection to an SQLite file, with its prepared statements. Parameters are written $1, $2,
// ... as in PostgreSQL, so that both databases can share their texts.
//
// Thread-compatible. Errors: UNAVAILABLE (reason STORE_UNAVAILABLE) when the file stays locked by
// another or cannot be read for now; RESOURCE_EXHAUSTED (reason STORE_FULL) when the disk is full;
// DATA_LOSS when the file is damaged or no database; FAILED_PRECONDITION when it cannot be opened
// or written; else INTERNAL. All name the file.
class SqliteConnection {
 public:
  enum class Mode { kReadWrite, kReadOnly };

  // Opens, and in mode kReadWrite creates, the file; sets it to WAL with synchronous=FULL.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path, Mode mode);
  ~SqliteConnection();

  // Runs one statement that returns no row.
  absl::Status Execute(absl::string_view sql, absl::Span<const SqlValue> values = {});

  // Runs one statement and calls `on_row` for each row.
  absl::Status Query(absl::string_view sql, absl::Span<const SqlValue> values,
                     absl::FunctionRef<void(const SqlRow&)> on_row);
  absl::Status Query(absl::string_view sql, std::initializer_list<SqlValue> values,
                     absl::FunctionRef<void(const SqlRow&)> on_row) {
    return Query(sql, absl::MakeConstSpan(values.begin(), values.size()), on_row);
  }
  absl::Status Execute(absl::string_view sql, std::initializer_list<SqlValue> values) {
    return Execute(sql, absl::MakeConstSpan(values.begin(), values.size()));
  }

  // Runs several statements without parameters.
  absl::Status Script(const std::string& sql);

  // Whether a transaction is open. SQLite ends one by itself after some errors.
  bool InTransaction() const;

 private:
  struct Statement {
    sqlite3_stmt* handle = nullptr;
    std::vector<int> parameters;  // [n - 1]: SQLite's index of $n
  };

  SqliteConnection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  absl::StatusOr<Statement*> Prepare(absl::string_view sql);
  absl::Status Bind(const Statement& statement, absl::Span<const SqlValue> values);
  absl::Status Error(int code, absl::string_view doing) const;

  sqlite3* const db_;
  const std::string path_;
  std::map<std::string, Statement, std::less<>> statements_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQLITE_CONNECTION_H_
