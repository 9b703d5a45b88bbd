#include "server/api/watch_reactor.h"

#include <utility>

#include "server/api/job_proto.h"

namespace topiary {
namespace {

constexpr int kEventsPerRead = 64;

}  // namespace

WatchReactor::WatchReactor(JobEvents* events, const JobName& job, int64_t after, Executor* executor,
                           StreamRegistry* streams)
    : StepwiseReactor(executor, streams), watch_(events->Watch(job, after, [this] { Wake(); })) {}

void WatchReactor::ReadEvents() {
  absl::StatusOr<JobEventBatch> batch = watch_->Read(kEventsPerRead);
  if (!batch.ok()) return End(batch.status());
  for (const JobEvent& event : batch->events) {
    absl::StatusOr<v1::JobEvent> proto = ToProto(event);
    if (!proto.ok()) return End(proto.status());
    unsent_.push_back(*std::move(proto));
  }
  ended_ = batch->ended;
  SendNext();
}

void WatchReactor::SendNext() {
  if (!unsent_.empty()) {
    sending_ = std::move(unsent_.front());
    unsent_.pop_front();
    return StartWrite(&sending_);
  }
  if (ended_) return End(absl::OkStatus());
  Wait();
}

void WatchReactor::OnWriteDone(bool ok) {
  if (!ok) return End(absl::CancelledError("the client has gone away"));
  if (EndIfStopped()) return;
  if (!unsent_.empty() || ended_) return SendNext();
  NextStep([this] { ReadEvents(); });
}

void WatchReactor::OnWake() {
  NextStep([this] { ReadEvents(); });
}

}  // namespace topiary
