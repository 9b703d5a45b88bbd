#ifndef TOPIARY_SERVER_JOBS_SQLITE_WRITER_H_
#define TOPIARY_SERVER_JOBS_SQLITE_WRITER_H_

#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "common/mutex.h"
#include "server/jobs/sqlite_connection.h"

namespace topiary {

// The only thread that writes to a database. Writes that wait at the same time share one commit, so
// that one fsync pays for many of them; each is acknowledged after that commit. Thread-safe.
class SqliteWriter {
 public:
  using Operation = absl::FunctionRef<absl::Status(SqliteConnection&)>;

  explicit SqliteWriter(std::unique_ptr<SqliteConnection> connection);

  // Finishes what waits.
  ~SqliteWriter();

  // Runs `operation` in a transaction and waits until that is committed. If it returns an error,
  // its writes alone are undone, and that error is the result. Errors of the transaction itself
  // (its begin, a savepoint, the commit) are the result of all that shared it and had no error of
  // their own: then none of them happened.
  absl::Status Run(Operation operation);

 private:
  struct Waiting;

  void Loop();
  void RunGroup(const std::vector<Waiting*>& group);
  // Runs one and sets its result; an error of the operation undoes its own writes only. Returns an
  // error if that, or the savepoint for it, failed: then it is unknown which of its writes remain,
  // and the transaction must not be committed.
  absl::Status RunInSavepoint(Waiting* waiting);

  const std::unique_ptr<SqliteConnection> connection_;  // of the thread only
  Mutex mutex_;
  CondVar changed_;
  std::vector<Waiting*> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQLITE_WRITER_H_
