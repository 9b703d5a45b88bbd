#ifndef TOPIARY_CLIENT_CLI_SHRINK_COMMAND_H_
#define TOPIARY_CLIENT_CLI_SHRINK_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary shrink: a model without the channels that pruning emptied, without a server.
void AddShrinkCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SHRINK_COMMAND_H_
