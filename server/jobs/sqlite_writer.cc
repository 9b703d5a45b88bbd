#include "server/jobs/sqlite_writer.h"

#include <algorithm>
#include <utility>

#include "common/notification.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Bounds how long the first of a group waits for the others.
constexpr size_t kMaxGroup = 128;

}  // namespace

struct SqliteWriter::Waiting {
  explicit Waiting(Operation op) : operation(op) {}
  Operation operation;
  absl::Status result;
  Notification done;
};

SqliteWriter::SqliteWriter(std::unique_ptr<SqliteConnection> connection)
    : connection_(std::move(connection)), thread_([this] { Loop(); }) {}

SqliteWriter::~SqliteWriter() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

absl::Status SqliteWriter::Run(Operation operation) {
  Waiting waiting(operation);
  {
    MutexLock lock(&mutex_);
    queue_.push_back(&waiting);
    changed_.SignalAll();
  }
  waiting.done.WaitForNotification();
  return waiting.result;
}

void SqliteWriter::Loop() {
  while (true) {
    std::vector<Waiting*> group;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !stopping_) changed_.Wait(&mutex_);
      if (queue_.empty()) return;
      const size_t size = std::min(queue_.size(), kMaxGroup);
      group.assign(queue_.begin(), queue_.begin() + size);
      queue_.erase(queue_.begin(), queue_.begin() + size);
    }
    RunGroup(group);
    for (Waiting* waiting : group) waiting->done.Notify();
  }
}

void SqliteWriter::RunGroup(const std::vector<Waiting*>& group) {
  absl::Status failure = connection_->Execute("BEGIN IMMEDIATE");
  for (size_t i = 0; failure.ok() && i < group.size(); ++i) {
    failure = RunInSavepoint(group[i]);
  }
  if (failure.ok()) failure = connection_->Execute("COMMIT");
  if (failure.ok()) return;
  if (connection_->InTransaction()) connection_->Execute("ROLLBACK").IgnoreError();
  for (Waiting* waiting : group) {
    if (waiting->result.ok()) waiting->result = failure;
  }
}

absl::Status SqliteWriter::RunInSavepoint(Waiting* waiting) {
  RETURN_IF_ERROR(connection_->Execute("SAVEPOINT operation"));
  waiting->result = waiting->operation(*connection_);
  // After a full disk or an I/O error, SQLite undoes the whole transaction by itself.
  if (!connection_->InTransaction()) {
    return waiting->result.ok() ? absl::InternalError("the transaction ended unasked")
                                : waiting->result;
  }
  if (!waiting->result.ok()) RETURN_IF_ERROR(connection_->Execute("ROLLBACK TO operation"));
  return connection_->Execute("RELEASE operation");
}

}  // namespace topiary
