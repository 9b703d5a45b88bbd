#ifndef TOPIARY_SERVER_JOBS_MEMORY_METADATA_STORE_H_
#define TOPIARY_SERVER_JOBS_MEMORY_METADATA_STORE_H_

#include "common/clock.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "server/jobs/memory_tables.h"
#include "server/jobs/transactional_metadata_store.h"

namespace topiary {

// A complete MetadataStore that forgets everything when it is destroyed: for tests. Thread-safe.
class MemoryMetadataStore : public TransactionalMetadataStore {
 public:
  // `clock` must outlive the store.
  explicit MemoryMetadataStore(Clock* clock) : TransactionalMetadataStore(clock) {}

  // From now on every method fails with `status`; an OK one ends that.
  void FailWith(absl::Status status) {
    MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }

 protected:
  absl::Status Write(Transaction transaction) override {
    MutexLock lock(&mutex_);
    RETURN_IF_ERROR(failure_);
    const absl::Status status = transaction(tables_);
    status.ok() ? tables_.Commit() : tables_.Rollback();
    return status;
  }

  absl::Status Read(Transaction transaction) override {
    MutexLock lock(&mutex_);
    RETURN_IF_ERROR(failure_);
    return transaction(tables_);
  }

 private:
  Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  MemoryTables tables_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_MEMORY_METADATA_STORE_H_
