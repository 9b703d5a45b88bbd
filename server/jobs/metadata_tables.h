#ifndef TOPIARY_SERVER_JOBS_METADATA_TABLES_H_
#define TOPIARY_SERVER_JOBS_METADATA_TABLES_H_

#include "server/jobs/artifact_tables.h"
#include "server/jobs/job_tables.h"

namespace topiary {

// All rows of a MetadataStore, as one transaction sees them.
class MetadataTables : public JobTables, public ArtifactTables {};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_METADATA_TABLES_H_
