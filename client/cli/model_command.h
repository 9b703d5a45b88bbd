#ifndef TOPIARY_CLIENT_CLI_MODEL_COMMAND_H_
#define TOPIARY_CLIENT_CLI_MODEL_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary model new ARCH OUT.onnx: writes an untrained network; needs no server.
void AddModelCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_MODEL_COMMAND_H_
