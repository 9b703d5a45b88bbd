#ifndef TOPIARY_SERVER_API_REQUEST_VALIDATION_H_
#define TOPIARY_SERVER_API_REQUEST_VALIDATION_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/api/field_violations.h"
#include "server/api/resource_name.h"
#include "topiary/v1/admin.pb.h"
#include "topiary/v1/artifacts.pb.h"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/workers.pb.h"

// Checks of whole requests, as the contract describes them. Pure: nothing is looked up. Errors are
// INVALID_ARGUMENT with a google.rpc.BadRequest that names each field.
namespace topiary {

// Of any page. A request that asks for 0 gets kDefaultPageSize.
inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;
inline constexpr int kMaxPageTokenBytes = 1024;
// Of one message of an upload.
inline constexpr int64_t kMaxUploadChunkBytes = 2 * 1024 * 1024;

int PageSizeOf(int requested);

// Resource names, each parsed from the field `field` of a request.
absl::StatusOr<std::string> RequireProject(absl::string_view name, absl::string_view field);
absl::StatusOr<JobName> RequireJob(absl::string_view name);
absl::StatusOr<ArtifactName> RequireArtifact(absl::string_view name);
absl::StatusOr<UploadName> RequireUpload(absl::string_view name);
absl::StatusOr<std::string> RequireWorker(absl::string_view name);

absl::Status ValidateCreateJob(const v1::CreateJobRequest& request);
absl::Status ValidateListJobs(const v1::ListJobsRequest& request);
absl::Status ValidateWatchJob(const v1::WatchJobRequest& request);
absl::Status ValidateBeginUpload(const v1::BeginUploadRequest& request);
absl::Status ValidateReadArtifact(const v1::ReadArtifactRequest& request);
absl::Status ValidateListArtifacts(const v1::ListArtifactsRequest& request);
absl::Status ValidateSynchronize(const v1::SynchronizeRequest& request);
absl::Status ValidateListWorkers(const v1::ListWorkersRequest& request);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_REQUEST_VALIDATION_H_
