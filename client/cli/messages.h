#ifndef TOPIARY_CLIENT_CLI_MESSAGES_H_
#define TOPIARY_CLIENT_CLI_MESSAGES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/spec.pb.h"

namespace topiary {

// A message as JSON with the names of the .proto files, on one line without newline. Fields that
// are not set, or zero without presence, are left out.
std::string ToJson(const google::protobuf::Message& message);

// Reads a CompressionSpec from JSON (names as in the .proto files or in camelCase) or, if the name
// does not end in ".json", from text format. `name` is for messages and the format only.
// INVALID_ARGUMENT with line and column where the text is wrong or names an unknown field.
absl::StatusOr<v1::CompressionSpec> ParseSpec(absl::string_view name, const std::string& text);

// The words of the contract without their prefix, in lower case: JOB_STATE_QUEUED -> "queued".
// A value this version does not know is its number.
std::string StateName(v1::JobState state);
std::string ReasonName(v1::JobReason reason);

// "queued" -> JOB_STATE_QUEUED, in any case; INVALID_ARGUMENT lists the words.
absl::StatusOr<v1::JobState> ParseState(absl::string_view word);

// What the spec's method is called at --method; "sweep" of a sweep over methods, "" if none is
// chosen.
std::string MethodName(const v1::CompressionSpec& spec);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_MESSAGES_H_
