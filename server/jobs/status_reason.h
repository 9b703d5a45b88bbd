#ifndef TOPIARY_SERVER_JOBS_STATUS_REASON_H_
#define TOPIARY_SERVER_JOBS_STATUS_REASON_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

// A machine-readable reason that travels inside an absl::Status. server/api turns it into
// google.rpc.ErrorInfo (reason and metadata); nothing below the edge needs protobuf for that.
namespace topiary {

inline constexpr char kReasonPayloadUrl[] = "topiary/reason";
inline constexpr char kMetadataPayloadPrefix[] = "topiary/metadata/";  // + key

// The reasons; in the comment, the metadata that comes with one.
inline constexpr char kReasonJobNotFound[] = "JOB_NOT_FOUND";
inline constexpr char kReasonJobExists[] = "JOB_EXISTS";
inline constexpr char kReasonJobNotFinished[] = "JOB_NOT_FINISHED";
inline constexpr char kReasonRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kReasonTooManyJobs[] = "TOO_MANY_JOBS";
inline constexpr char kReasonStaleAttempt[] = "STALE_ATTEMPT";
inline constexpr char kReasonArtifactMissing[] = "ARTIFACT_MISSING";  // a job names it; "digest"
inline constexpr char kReasonArtifactNotFound[] = "ARTIFACT_NOT_FOUND";
inline constexpr char kReasonArtifactInUse[] = "ARTIFACT_IN_USE";  // "job": full name of one
inline constexpr char kReasonArtifactTooLarge[] = "ARTIFACT_TOO_LARGE";
inline constexpr char kReasonRangeOutside[] = "RANGE_OUTSIDE_ARTIFACT";
inline constexpr char kReasonUploadNotFound[] = "UPLOAD_NOT_FOUND";
inline constexpr char kReasonUploadOffset[] = "UPLOAD_OFFSET_MISMATCH";  // "committedBytes"
inline constexpr char kReasonUploadIncomplete[] = "UPLOAD_INCOMPLETE";   // "committedBytes"
inline constexpr char kReasonTooManyUploads[] = "TOO_MANY_UPLOADS";
inline constexpr char kReasonDigestMismatch[] = "DIGEST_MISMATCH";
inline constexpr char kReasonStoreFull[] = "STORE_FULL";
inline constexpr char kReasonStoreUnavailable[] = "STORE_UNAVAILABLE";
inline constexpr char kReasonWorkerNotFound[] = "WORKER_NOT_FOUND";
inline constexpr char kReasonDraining[] = "DRAINING";

// `status`, which must not be OK, with `reason` attached.
inline absl::Status WithReason(absl::Status status, absl::string_view reason) {
  status.SetPayload(kReasonPayloadUrl, absl::Cord(reason));
  return status;
}

// The attached reason, or "" when there is none.
inline std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonPayloadUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

// `status`, which must not be OK, with a key and value for ErrorInfo.metadata.
inline absl::Status WithMetadata(absl::Status status, absl::string_view key,
                                 absl::string_view value) {
  status.SetPayload(absl::StrCat(kMetadataPayloadPrefix, key), absl::Cord(value));
  return status;
}

// All metadata attached to `status`.
inline std::map<std::string, std::string> MetadataOf(const absl::Status& status) {
  std::map<std::string, std::string> metadata;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    if (absl::ConsumePrefix(&url, kMetadataPayloadPrefix)) {
      metadata.emplace(url, std::string(value));
    }
  });
  return metadata;
}

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_STATUS_REASON_H_
