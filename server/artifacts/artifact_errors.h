#ifndef TOPIARY_SERVER_ARTIFACTS_ARTIFACT_ERRORS_H_
#define TOPIARY_SERVER_ARTIFACTS_ARTIFACT_ERRORS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// The errors that all implementations of ArtifactStore share, and the checks of names.
namespace topiary {

// INVALID_ARGUMENT unless `upload` is 1 to 64 letters, digits, '-' and '_'.
absl::Status CheckUploadId(absl::string_view upload);

// INVALID_ARGUMENT unless `digest` is a SHA-256 in lower-case hexadecimal.
absl::Status CheckDigest(absl::string_view digest);

absl::Status UploadNotFound(absl::string_view upload);
absl::Status BlobNotFound(absl::string_view digest);
absl::Status OffsetMismatch(absl::string_view upload, int64_t offset, int64_t committed_bytes);
absl::Status UploadIncomplete(absl::string_view upload, int64_t committed_bytes,
                              int64_t size_bytes);
absl::Status TooManyBytes(absl::string_view upload, int64_t committed_bytes, int64_t size_bytes);
absl::Status DigestMismatch(absl::string_view upload, absl::string_view announced,
                            absl::string_view actual);
absl::Status RangeOutside(int64_t offset, int64_t size_bytes);

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_ARTIFACT_ERRORS_H_
