#include "server/artifacts/artifact_errors.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

constexpr size_t kMaxUploadId = 64;

absl::Status WithCommitted(absl::Status status, absl::string_view reason, int64_t committed) {
  return WithMetadata(WithReason(std::move(status), reason), "committedBytes",
                      absl::StrCat(committed));
}

}  // namespace

absl::Status CheckUploadId(absl::string_view upload) {
  const bool legal = !upload.empty() && upload.size() <= kMaxUploadId &&
                     std::all_of(upload.begin(), upload.end(), [](unsigned char c) {
                       return absl::ascii_isalnum(c) || c == '-' || c == '_';
                     });
  if (legal) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("upload id \"",
                                                 absl::CHexEscape(upload.substr(0, kMaxUploadId)),
                                                 "\" is not 1 to 64 letters, digits, '-' and '_'"));
}

absl::Status CheckDigest(absl::string_view digest) {
  if (IsSha256Hex(digest)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("digest \"", absl::CHexEscape(digest.substr(0, 64)),
                   "\" is not a SHA-256: 64 lower-case hexadecimal digits"));
}

absl::Status UploadNotFound(absl::string_view upload) {
  return WithReason(
      absl::NotFoundError(absl::StrCat("there is no upload ", upload, ": begin a new one")),
      kReasonUploadNotFound);
}

absl::Status BlobNotFound(absl::string_view digest) {
  return WithReason(absl::NotFoundError(absl::StrCat("there are no bytes of artifact ", digest)),
                    kReasonArtifactNotFound);
}

absl::Status OffsetMismatch(absl::string_view upload, int64_t offset, int64_t committed_bytes) {
  return WithCommitted(
      absl::AbortedError(absl::StrCat("upload ", upload, ": bytes for offset ", offset, " came, ",
                                      committed_bytes, " are stored: go on from there")),
      kReasonUploadOffset, committed_bytes);
}

absl::Status UploadIncomplete(absl::string_view upload, int64_t committed_bytes,
                              int64_t size_bytes) {
  return WithCommitted(absl::FailedPreconditionError(
                           absl::StrCat("upload ", upload, " has ", committed_bytes, " of ",
                                        size_bytes, " bytes: send the rest first")),
                       kReasonUploadIncomplete, committed_bytes);
}

absl::Status TooManyBytes(absl::string_view upload, int64_t committed_bytes, int64_t size_bytes) {
  return WithReason(
      absl::DataLossError(absl::StrCat("upload ", upload, " has ", committed_bytes, " bytes, ",
                                       size_bytes, " were announced: start it again")),
      kReasonDigestMismatch);
}

absl::Status DigestMismatch(absl::string_view upload, absl::string_view announced,
                            absl::string_view actual) {
  return WithReason(
      absl::DataLossError(absl::StrCat("the bytes of upload ", upload, " have SHA-256 ", actual,
                                       ", announced was ", announced, ": start it again")),
      kReasonDigestMismatch);
}

absl::Status RangeOutside(int64_t offset, int64_t size_bytes) {
  return WithReason(absl::OutOfRangeError(absl::StrCat("offset ", offset, " is outside of the ",
                                                       size_bytes, " bytes of the artifact")),
                    kReasonRangeOutside);
}

}  // namespace topiary
