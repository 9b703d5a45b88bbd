#ifndef TOPIARY_CLIENT_CLI_CONVERT_COMMAND_H_
#define TOPIARY_CLIENT_CLI_CONVERT_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary convert: the dense ONNX file of a block-compressed model, without a server.
void AddConvertCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_CONVERT_COMMAND_H_
