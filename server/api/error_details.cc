#include "server/api/error_details.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "google/rpc/error_details.pb.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

using Metadata = std::map<std::string, std::string>;

std::string ValueOf(const Metadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::string() : found->second;
}

void SetDetail(const google::protobuf::Message& detail, const char* url, absl::Status* status) {
  status->SetPayload(url, absl::Cord(detail.SerializeAsString()));
}

void AddPreconditionFailure(const std::string& reason, const Metadata& metadata,
                            absl::Status* status) {
  google::rpc::PreconditionFailure failure;
  auto* violation = failure.add_violations();
  if (reason == kReasonArtifactMissing) {
    violation->set_type("MISSING");
    violation->set_subject(ValueOf(metadata, "digest"));
  } else if (reason == kReasonArtifactInUse) {
    violation->set_type("IN_USE");
    violation->set_subject(ValueOf(metadata, "job"));
  } else {
    violation->set_type("STATE");
  }
  violation->set_description(std::string(status->message()));
  SetDetail(failure, kPreconditionFailureUrl, status);
}

void AddQuotaFailure(absl::Status* status) {
  google::rpc::QuotaFailure failure;
  failure.add_violations()->set_description(std::string(status->message()));
  SetDetail(failure, kQuotaFailureUrl, status);
}

void AddRetryInfo(int seconds, absl::Status* status) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  SetDetail(info, kRetryInfoUrl, status);
}

// Something that only another request can mend is not worth a retry.
bool PassesByItself(const std::string& reason) { return reason != kReasonArtifactTooLarge; }

void AddDetailsByCode(const std::string& reason, const Metadata& metadata, absl::Status* status) {
  switch (status->code()) {
    case absl::StatusCode::kFailedPrecondition:
      AddPreconditionFailure(reason, metadata, status);
      return;
    case absl::StatusCode::kResourceExhausted:
      if (reason != kReasonServerBusy) AddQuotaFailure(status);
      if (PassesByItself(reason)) AddRetryInfo(reason == kReasonServerBusy ? 1 : 10, status);
      return;
    case absl::StatusCode::kUnavailable:
      AddRetryInfo(1, status);
      return;
    default:
      return;
  }
}

}  // namespace

absl::Status WithErrorDetails(const absl::Status& status) {
  if (status.ok()) return status;
  const Metadata metadata = MetadataOf(status);
  std::string reason = ReasonOf(status);
  if (reason.empty()) reason = absl::StatusCodeToString(status.code());

  absl::Status result(status.code(), status.message());
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    if (absl::StartsWith(url, "type.googleapis.com/")) result.SetPayload(url, payload);
  });
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(kErrorDomain);
  for (const auto& [key, value] : metadata) (*info.mutable_metadata())[key] = value;
  SetDetail(info, kErrorInfoUrl, &result);
  AddDetailsByCode(reason, metadata, &result);
  return result;
}

}  // namespace topiary
