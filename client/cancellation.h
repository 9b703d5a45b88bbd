#ifndef TOPIARY_CLIENT_CANCELLATION_H_
#define TOPIARY_CLIENT_CANCELLATION_H_

#include "absl/time/time.h"
#include "common/mutex.h"

namespace grpc {
class ClientContext;
}

namespace topiary {

// Lets one thread stop what another does in calls of this library, also a call that is waiting for
// the network. Must outlive the calls it was given to. Thread-safe.
class Cancellation {
 public:
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

  // For good: calls under way end with CANCELLED, later ones at once. May be called repeatedly.
  void Cancel();
  bool cancelled() const;

  // Waits for `duration`; false at once when cancelled.
  bool WaitFor(absl::Duration duration);

  // While in scope, Cancel() cancels `context`. One at a time per Cancellation; null does nothing.
  class Scope {
   public:
    Scope(Cancellation* cancellation, grpc::ClientContext* context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Cancellation* const cancellation_;
  };

 private:
  mutable Mutex mu_;
  CondVar changed_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// False for null.
inline bool IsCancelled(const Cancellation* cancellation) {
  return cancellation != nullptr && cancellation->cancelled();
}

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CANCELLATION_H_
