#ifndef TOPIARY_CLIENT_CLI_ERROR_REPORT_H_
#define TOPIARY_CLIENT_CLI_ERROR_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace topiary {

// An error for people: what went wrong, each wrong field or missing thing on a line of its own
// (google.rpc.BadRequest, PreconditionFailure, QuotaFailure), and what to do next. Ends in a
// newline. `server` is the address that was called.
std::string ErrorText(const absl::Status& status, absl::string_view server);

// The same for programs, on one line without newline:
//   {"error": {"code": "INVALID_ARGUMENT", "message": "...", "reason": "INVALID_REQUEST",
//              "violations": [{"subject": "spec.model", "description": "..."}], "exit_code": 5}}
std::string ErrorJson(const absl::Status& status);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_ERROR_REPORT_H_
