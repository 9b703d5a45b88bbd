#ifndef TOPIARY_CLIENT_CLI_WORKER_COMMAND_H_
#define TOPIARY_CLIENT_CLI_WORKER_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary workers: lists them, or drains one.
void AddWorkerCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_WORKER_COMMAND_H_
