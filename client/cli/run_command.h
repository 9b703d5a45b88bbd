#ifndef TOPIARY_CLIENT_CLI_RUN_COMMAND_H_
#define TOPIARY_CLIENT_CLI_RUN_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary run: one job from start to end without a server: a private coordinator and worker are
// started, used and stopped. topiary bench: the same for a job of method benchmark, of which the
// report is shown.
void AddRunCommand(CommandSet* commands);
void AddBenchCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_RUN_COMMAND_H_
