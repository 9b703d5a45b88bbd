#ifndef TOPIARY_CLIENT_CLI_JOB_COMMANDS_H_
#define TOPIARY_CLIENT_CLI_JOB_COMMANDS_H_

#include "client/cli/command.h"

namespace topiary {

// topiary watch, get, list, cancel, delete: what is done with jobs that exist.
void AddJobCommands(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_JOB_COMMANDS_H_
