#ifndef TOPIARY_CLIENT_CLI_VERSION_COMMAND_H_
#define TOPIARY_CLIENT_CLI_VERSION_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary version: of this program; needs no server.
void AddVersionCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_VERSION_COMMAND_H_
