#ifndef TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_
#define TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary report: a job's report, or a report.json on this machine, as tables.
void AddReportCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_REPORT_COMMAND_H_
