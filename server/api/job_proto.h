#ifndef TOPIARY_SERVER_API_JOB_PROTO_H_
#define TOPIARY_SERVER_API_JOB_PROTO_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "server/jobs/job.h"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/spec.pb.h"

// Jobs as messages and as the structs of server/jobs. A stored spec, progress or result is the
// serialized message; it fails to parse only where the store is damaged: DATA_LOSS.
namespace topiary {

// A new job of `spec`, which is valid and, unless it is a sweep, has its defaults, all but its id
// and what the request says. `now` is the store's, for the deadline.
Job JobFromSpec(const v1::CompressionSpec& spec, absl::Time now);

// The digests that `spec` names, each with the role "model" or "data"; none twice.
std::vector<ArtifactReference> InputsOf(const v1::CompressionSpec& spec);

// `attempts` are all or the newest; empty for a list.
absl::StatusOr<v1::Job> ToProto(const Job& job, const std::vector<Attempt>& attempts);
absl::StatusOr<v1::JobEvent> ToProto(const JobEvent& event);
google::rpc::Status ToProto(const Failure& failure);
v1::JobState ToProto(JobState state);

// `state` must be one that ValidateListJobs accepts.
JobState FromProto(v1::JobState state);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_JOB_PROTO_H_
