#include "client/cancellation.h"

#include "absl/time/clock.h"
#include "grpcpp/client_context.h"

namespace topiary {

void Cancellation::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  // TryCancel() does not block; under the lock, so that the context cannot go away meanwhile.
  if (context_ != nullptr) context_->TryCancel();
  changed_.SignalAll();
}

bool Cancellation::cancelled() const {
  MutexLock lock(&mu_);
  return cancelled_;
}

bool Cancellation::WaitFor(absl::Duration duration) {
  const absl::Time until = absl::Now() + duration;
  MutexLock lock(&mu_);
  while (!cancelled_) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    changed_.WaitWithTimeout(&mu_, left);
  }
  return false;
}

Cancellation::Scope::Scope(Cancellation* cancellation, grpc::ClientContext* context)
    : cancellation_(cancellation) {
  if (cancellation_ == nullptr) return;
  MutexLock lock(&cancellation_->mu_);
  cancellation_->context_ = context;
  if (cancellation_->cancelled_) context->TryCancel();
}

Cancellation::Scope::~Scope() {
  if (cancellation_ == nullptr) return;
  MutexLock lock(&cancellation_->mu_);
  cancellation_->context_ = nullptr;
}

}  // namespace topiary
