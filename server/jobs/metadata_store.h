#ifndef TOPIARY_SERVER_JOBS_METADATA_STORE_H_
#define TOPIARY_SERVER_JOBS_METADATA_STORE_H_

#include "server/jobs/artifact_catalog.h"
#include "server/jobs/job_store.h"

namespace topiary {

// One database: jobs, and the artifacts they refer to. Each implementation (memory, SQLite) is one
// of these; users take the half they need. Thread-safe.
class MetadataStore : public JobStore, public ArtifactCatalog {};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_METADATA_STORE_H_
