#ifndef TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_
#define TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// `topiary report`: what a job has measured, for people.
void AddReportCommand(CommandSet* commands);

// The report of a job that has ended, as JSON. FAILED_PRECONDITION where it has none.
absl::StatusOr<std::string> FetchReport(const v1::Job& job, Session* session);

// Shows `json` as tables or, with --output=json, as it is. INVALID_ARGUMENT where it is no report.
absl::Status ShowReport(const std::string& json, Session* session);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_
