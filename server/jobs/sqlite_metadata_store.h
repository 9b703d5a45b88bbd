#ifndef TOPIARY_SERVER_JOBS_SQLITE_METADATA_STORE_H_
#define TOPIARY_SERVER_JOBS_SQLITE_METADATA_STORE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "server/jobs/metadata_store.h"

namespace topiary {

struct SqliteOptions {
  std::string path;       // of the database file; its folder exists
  int readers = 4;        // read-only connections; more reads wait
  int64_t max_bytes = 0;  // of the file; then writes are RESOURCE_EXHAUSTED. 0: what the disk has
};

// Opens, and if need be creates or migrates, a MetadataStore in one SQLite file (and its -wal and
// -shm). One process at a time: a lock file beside it sees to that. `clock` must outlive the store.
//
// WAL mode with synchronous=FULL: what was acknowledged survives a crash of the machine. One thread
// writes, in groups that share a commit; reads neither wait for it nor for each other.
//
// FAILED_PRECONDITION if the file cannot be opened, is in use by another process, or was written by
// a newer version; DATA_LOSS if it is no database or damaged.
absl::StatusOr<std::unique_ptr<MetadataStore>> OpenSqliteMetadataStore(const SqliteOptions& options,
                                                                       Clock* clock);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_SQLITE_METADATA_STORE_H_
