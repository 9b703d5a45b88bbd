#ifndef TOPIARY_SERVER_API_RESOURCE_NAME_H_
#define TOPIARY_SERVER_API_RESOURCE_NAME_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "server/jobs/job.h"

// Resource names of the contract, such as "projects/vision/jobs/j4k2x". Parsing accepts exactly
// what the contract describes and nothing else; std::nullopt stands for anything else.
namespace topiary {

// "projects/{project}" -> project: [a-z]([a-z0-9-]{0,61}[a-z0-9])?
std::optional<std::string> ParseProjectName(absl::string_view name);

// "projects/{project}/jobs/{job}"; {job} as a project's.
std::optional<JobName> ParseJobName(absl::string_view name);

struct ArtifactName {
  std::string project;
  std::string digest;
};
// "projects/{project}/artifacts/{digest}"
std::optional<ArtifactName> ParseArtifactName(absl::string_view name);
std::string FormatArtifactName(absl::string_view project, absl::string_view digest);

struct UploadName {
  std::string project;
  std::string id;
};
// "projects/{project}/uploads/{id}"; {id}: 1 to 64 of [A-Za-z0-9_-].
std::optional<UploadName> ParseUploadName(absl::string_view name);
std::string FormatUploadName(absl::string_view project, absl::string_view id);

// [A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?
bool IsWorkerId(absl::string_view id);

// "workers/{worker}" -> its id.
std::optional<std::string> ParseWorkerName(absl::string_view name);
std::string FormatWorkerName(absl::string_view id);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_RESOURCE_NAME_H_
