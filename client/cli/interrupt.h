#ifndef TOPIARY_CLIENT_CLI_INTERRUPT_H_
#define TOPIARY_CLIENT_CLI_INTERRUPT_H_

#include "client/cancellation.h"

namespace topiary {

// From now on the first SIGINT, SIGTERM or SIGHUP cancels `cancellation`; the second one ends the
// process with exit code 130. Call once, before any other thread is started (the signals are
// blocked in all of them). `cancellation` must live until the process ends.
void CancelOnSignals(Cancellation* cancellation);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_INTERRUPT_H_
