#include "server/api/request_validation.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "server/api/message_check.h"
#include "server/api/spec_validation.h"

namespace topiary {
namespace {

absl::Status NameError(absl::string_view field, absl::string_view pattern) {
  FieldViolations violations;
  violations.Add(field, absl::StrCat("must be ", pattern));
  return violations.ToStatus();
}

bool IsRequestId(absl::string_view id) {
  return id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
         });
}

void CheckParent(absl::string_view parent, FieldViolations* violations) {
  violations->Check(ParseProjectName(parent).has_value(), "parent",
                    "must be \"projects/{project}\"");
}

template <typename ListRequest>
void CheckPage(const ListRequest& request, FieldViolations* violations) {
  violations->Check(request.page_size() >= 0 && request.page_size() <= kMaxPageSize, "page_size",
                    absl::StrCat("must lie between 0 and ", kMaxPageSize));
  violations->Check(request.page_token().size() <= kMaxPageTokenBytes, "page_token",
                    "is not a token of this service");
}

}  // namespace

int PageSizeOf(int requested) { return requested == 0 ? kDefaultPageSize : requested; }

absl::StatusOr<std::string> RequireProject(absl::string_view name, absl::string_view field) {
  auto project = ParseProjectName(name);
  if (!project.has_value()) return NameError(field, "\"projects/{project}\"");
  return *project;
}

absl::StatusOr<JobName> RequireJob(absl::string_view name) {
  auto job = ParseJobName(name);
  if (!job.has_value()) return NameError("name", "\"projects/{project}/jobs/{job}\"");
  return *job;
}

absl::StatusOr<ArtifactName> RequireArtifact(absl::string_view name) {
  auto artifact = ParseArtifactName(name);
  if (!artifact.has_value()) {
    return NameError("name",
                     "\"projects/{project}/artifacts/{artifact}\", {artifact} being a SHA-256 of "
                     "64 lower-case hexadecimal digits");
  }
  return *artifact;
}

absl::StatusOr<UploadName> RequireUpload(absl::string_view name) {
  auto upload = ParseUploadName(name);
  if (!upload.has_value()) return NameError("name", "\"projects/{project}/uploads/{upload}\"");
  return *upload;
}

absl::StatusOr<std::string> RequireWorker(absl::string_view name) {
  auto worker = ParseWorkerName(name);
  if (!worker.has_value()) return NameError("name", "\"workers/{worker}\"");
  return *worker;
}

absl::Status ValidateCreateJob(const v1::CreateJobRequest& request) {
  FieldViolations violations;
  CheckParent(request.parent(), &violations);
  violations.Check(IsRequestId(request.request_id()), "request_id",
                   "must be at most 64 characters of [A-Za-z0-9_.-]");
  violations.Check(!request.validate_only() || request.request_id().empty(), "request_id",
                   "must be left out where validate_only is true: nothing is created");
  const auto& unknown = v1::CreateJobRequest::GetReflection()->GetUnknownFields(request);
  for (int i = 0; i < unknown.field_count(); ++i) {
    violations.Add(absl::StrCat(unknown.field(i).number()),
                   "this version of the service has no field of this number");
  }
  ValidateSpec(request.spec(), "spec", &violations);
  return violations.ToStatus();
}

absl::Status ValidateListJobs(const v1::ListJobsRequest& request) {
  FieldViolations violations;
  CheckWellFormed(request, "", &violations);
  CheckParent(request.parent(), &violations);
  CheckPage(request, &violations);
  for (int i = 0; i < request.states_size(); ++i) {
    violations.Check(request.states(i) != v1::JOB_STATE_UNSPECIFIED, ElementPath("", "states", i),
                     "must be a state");
  }
  const auto project = ParseProjectName(request.parent());
  const auto sweep = ParseJobName(request.parent_job());
  violations.Check(request.parent_job().empty() || (sweep.has_value() && project == sweep->project),
                   "parent_job", "must be \"projects/{project}/jobs/{job}\" in the same project");
  violations.Check(request.parent_job().empty() || !request.include_children(), "include_children",
                   "must be false where parent_job is given");
  violations.Check(request.states_size() <= 16, "states", "must have at most 16 entries");
  violations.Check(request.labels_size() <= 64, "labels", "must have at most 64 entries");
  for (const auto& [key, value] : request.labels()) {
    violations.Check(key.size() <= 63 && value.size() <= 63, absl::StrCat("labels[\"", key, "\"]"),
                     "key and value have at most 63 characters");
  }
  return violations.ToStatus();
}

absl::Status ValidateWatchJob(const v1::WatchJobRequest& request) {
  FieldViolations violations;
  violations.Check(ParseJobName(request.name()).has_value(), "name",
                   "must be \"projects/{project}/jobs/{job}\"");
  violations.Check(request.after_sequence() >= 0, "after_sequence", "must not be negative");
  return violations.ToStatus();
}

absl::Status ValidateBeginUpload(const v1::BeginUploadRequest& request) {
  FieldViolations violations;
  CheckWellFormed(request, "", &violations);
  CheckParent(request.parent(), &violations);
  violations.Check(IsSha256Hex(request.digest()), "digest",
                   "must be the SHA-256 of all bytes, 64 lower-case hexadecimal digits");
  violations.Check(request.size_bytes() >= 0, "size_bytes", "must not be negative");
  violations.Check(request.kind() != v1::ARTIFACT_KIND_UNSPECIFIED, "kind",
                   "must be one of the kinds");
  const std::string& display_name = request.display_name();
  violations.Check(display_name.size() <= 255 &&
                       std::none_of(display_name.begin(), display_name.end(), absl::ascii_iscntrl),
                   "display_name", "must have at most 255 bytes and no control characters");
  return violations.ToStatus();
}

absl::Status ValidateReadArtifact(const v1::ReadArtifactRequest& request) {
  FieldViolations violations;
  violations.Check(ParseArtifactName(request.name()).has_value(), "name",
                   "must be \"projects/{project}/artifacts/{artifact}\"");
  violations.Check(request.offset() >= 0, "offset", "must not be negative");
  violations.Check(request.limit_bytes() >= 0, "limit_bytes", "must not be negative");
  return violations.ToStatus();
}

absl::Status ValidateListArtifacts(const v1::ListArtifactsRequest& request) {
  FieldViolations violations;
  CheckWellFormed(request, "", &violations);
  CheckParent(request.parent(), &violations);
  CheckPage(request, &violations);
  violations.Check(request.kinds_size() <= 16, "kinds", "must have at most 16 entries");
  for (int i = 0; i < request.kinds_size(); ++i) {
    violations.Check(request.kinds(i) != v1::ARTIFACT_KIND_UNSPECIFIED, ElementPath("", "kinds", i),
                     "must be one of the kinds");
  }
  return violations.ToStatus();
}

absl::Status ValidateListWorkers(const v1::ListWorkersRequest& request) {
  FieldViolations violations;
  CheckPage(request, &violations);
  violations.Check(request.page_token().empty() || IsWorkerId(request.page_token()), "page_token",
                   "is not a token of this service");
  return violations.ToStatus();
}

}  // namespace topiary
