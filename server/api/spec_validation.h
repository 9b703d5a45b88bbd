#ifndef TOPIARY_SERVER_API_SPEC_VALIDATION_H_
#define TOPIARY_SERVER_API_SPEC_VALIDATION_H_

#include "absl/strings/string_view.h"
#include "server/api/field_violations.h"
#include "topiary/v1/spec.pb.h"

namespace topiary {

// Bytes of a serialized spec at most.
inline constexpr int kMaxSpecBytes = 256 * 1024;

// Checks a spec as a client sent it, every field of it, against what proto/topiary/v1/spec.proto
// says; `path` is where it lies in the request. Whether artifacts exist is not checked here.
void ValidateSpec(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SPEC_VALIDATION_H_
