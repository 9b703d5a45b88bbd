#ifndef TOPIARY_CLIENT_CLI_SWEEP_DETAILS_H_
#define TOPIARY_CLIENT_CLI_SWEEP_DETAILS_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/session.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// What is known of the children of a sweep, for people: its report, or a table of how they fare.
// Empty for other jobs, and in JSON output. Asks the server.
absl::StatusOr<std::string> SweepDetails(Session* session, const v1::Job& job);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SWEEP_DETAILS_H_
