#ifndef TOPIARY_CLIENT_CLI_SUBMIT_COMMAND_H_
#define TOPIARY_CLIENT_CLI_SUBMIT_COMMAND_H_

#include "client/cli/command.h"

namespace topiary {

// topiary submit: uploads what a job needs, creates it, and if asked waits for it and fetches its
// result.
void AddSubmitCommand(CommandSet* commands);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SUBMIT_COMMAND_H_
