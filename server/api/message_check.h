#ifndef TOPIARY_SERVER_API_MESSAGE_CHECK_H_
#define TOPIARY_SERVER_API_MESSAGE_CHECK_H_

#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "server/api/field_violations.h"

namespace topiary {

// What no message of a request may hold, however deep: NaN or an infinity, an enum value this
// version does not know, a field this version does not know (it would be ignored in silence).
// `path` is where `message` lies in the request, "" for the request itself.
void CheckWellFormed(const google::protobuf::Message& message, absl::string_view path,
                     FieldViolations* violations);

// "a.b", or "b" where `path` is empty.
std::string JoinPath(absl::string_view path, absl::string_view field);

// "a.b[3]"
std::string ElementPath(absl::string_view path, absl::string_view field, int index);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_MESSAGE_CHECK_H_
