#include "server/jobs/sqlite_metadata_store.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file_lock.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "server/jobs/sqlite_connection.h"
#include "server/jobs/sqlite_migrations.h"
#include "server/jobs/sqlite_tables.h"
#include "server/jobs/sqlite_writer.h"
#include "server/jobs/transactional_metadata_store.h"

namespace topiary {
namespace {

using Connection = std::unique_ptr<SqliteConnection>;

// Read-only connections, lent to one thread at a time. Thread-safe.
class Readers {
 public:
  explicit Readers(std::vector<Connection> connections) : free_(std::move(connections)) {}

  Connection Take() {
    MutexLock lock(&mutex_);
    while (free_.empty()) returned_.Wait(&mutex_);
    Connection connection = std::move(free_.back());
    free_.pop_back();
    return connection;
  }

  void Return(Connection connection) {
    MutexLock lock(&mutex_);
    free_.push_back(std::move(connection));
    returned_.Signal();
  }

 private:
  Mutex mutex_;
  CondVar returned_;
  std::vector<Connection> free_ ABSL_GUARDED_BY(mutex_);
};

class SqliteMetadataStore final : public TransactionalMetadataStore {
 public:
  SqliteMetadataStore(Clock* clock, FileLock lock, Connection writer,
                      std::vector<Connection> readers)
      : TransactionalMetadataStore(clock),
        lock_(std::move(lock)),
        readers_(std::move(readers)),
        writer_(std::move(writer)) {}

 protected:
  absl::Status Write(Transaction transaction) override {
    return writer_.Run([&](SqliteConnection& connection) {
      SqliteTables tables(&connection);
      return transaction(tables);
    });
  }

  absl::Status Read(Transaction transaction) override {
    Connection connection = readers_.Take();
    const absl::Status status = ReadWith(connection.get(), transaction);
    readers_.Return(std::move(connection));
    return status;
  }

 private:
  static absl::Status ReadWith(SqliteConnection* connection, Transaction transaction) {
    RETURN_IF_ERROR(connection->Execute("BEGIN"));
    SqliteTables tables(connection);
    const absl::Status status = transaction(tables);
    const absl::Status ended = connection->Execute("COMMIT");
    if (!ended.ok() && connection->InTransaction()) connection->Execute("ROLLBACK").IgnoreError();
    return status.ok() ? ended : status;
  }

  const FileLock lock_;
  Readers readers_;
  SqliteWriter writer_;  // last: its thread ends before the rest goes
};

absl::Status LimitSize(SqliteConnection* connection, int64_t max_bytes) {
  int64_t page_size = 0;
  RETURN_IF_ERROR(connection->Query("PRAGMA page_size", {},
                                    [&](const SqlRow& row) { page_size = row.Integer(0); }));
  const int64_t pages = std::max<int64_t>(1, max_bytes / std::max<int64_t>(1, page_size));
  return connection->Script(absl::StrCat("PRAGMA max_page_count=", pages));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetadataStore>> OpenSqliteMetadataStore(const SqliteOptions& options,
                                                                       Clock* clock) {
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(options.path + ".lock"));
  ASSIGN_OR_RETURN(Connection writer,
                   SqliteConnection::Open(options.path, SqliteConnection::Mode::kReadWrite));
  RETURN_IF_ERROR(ApplyMigrations(writer.get(), SqliteMigrations(), clock->Now()));
  if (options.max_bytes > 0) RETURN_IF_ERROR(LimitSize(writer.get(), options.max_bytes));
  std::vector<Connection> readers;
  for (int i = 0; i < std::max(1, options.readers); ++i) {
    ASSIGN_OR_RETURN(Connection reader,
                     SqliteConnection::Open(options.path, SqliteConnection::Mode::kReadOnly));
    readers.push_back(std::move(reader));
  }
  return std::make_unique<SqliteMetadataStore>(clock, std::move(lock), std::move(writer),
                                               std::move(readers));
}

}  // namespace topiary
