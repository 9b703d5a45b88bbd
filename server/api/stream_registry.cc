#include "server/api/stream_registry.h"

#include <vector>

#include "server/api/dispatch.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

absl::Status DrainingError() {
  return WithReason(absl::UnavailableError("the coordinator is shutting down; try again"),
                    kReasonDraining);
}

}  // namespace

absl::Status StreamRegistry::Add(std::shared_ptr<StoppableStream> stream) {
  MutexLock lock(&mu_);
  if (draining_) return DrainingError();
  if (streams_.size() >= static_cast<size_t>(max_streams_)) return BusyError();
  StoppableStream* const key = stream.get();
  streams_.emplace(key, std::move(stream));
  return absl::OkStatus();
}

void StreamRegistry::Remove(StoppableStream* stream) {
  MutexLock lock(&mu_);
  streams_.erase(stream);
}

void StreamRegistry::StopAll() {
  std::vector<std::shared_ptr<StoppableStream>> streams;
  {
    MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [key, stream] : streams_) {
      if (auto alive = stream.lock()) streams.push_back(std::move(alive));
    }
  }
  for (const auto& stream : streams) stream->Stop(DrainingError());
}

int StreamRegistry::size() const {
  MutexLock lock(&mu_);
  return static_cast<int>(streams_.size());
}

}  // namespace topiary
