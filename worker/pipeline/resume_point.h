#ifndef TOPIARY_WORKER_PIPELINE_RESUME_POINT_H_
#define TOPIARY_WORKER_PIPELINE_RESUME_POINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"

namespace topiary {

// The checkpoint at `path`, from which the job can go on. Errors as ReadCheckpoint();
// INVALID_ARGUMENT where it is of another method, plan or choice of features than this job's.
absl::StatusOr<Checkpoint> ReadResumePoint(const std::string& path, const JobSpec& spec,
                                           const LoadedJob& job);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_RESUME_POINT_H_
