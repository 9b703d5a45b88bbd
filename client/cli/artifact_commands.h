#ifndef TOPIARY_CLIENT_CLI_ARTIFACT_COMMANDS_H_
#define TOPIARY_CLIENT_CLI_ARTIFACT_COMMANDS_H_

#include "client/cli/command.h"

namespace topiary {

// topiary artifact put, get, list, rm.
void AddArtifactCommands(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_ARTIFACT_COMMANDS_H_
