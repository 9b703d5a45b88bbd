#include "client/cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "client/cli/exit_code.h"

namespace topiary {
namespace {

sigset_t InterruptSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  return signals;
}

}  // namespace

void CancelOnSignals(Cancellation* cancellation) {
  const sigset_t signals = InterruptSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Waits for signals as long as there is a process.
  std::thread([cancellation, signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    cancellation->Cancel();
    sigwait(&signals, &signal);
    _exit(static_cast<int>(ExitCode::kInterrupted));
  }).detach();
}

}  // namespace topiary
