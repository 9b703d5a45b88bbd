#ifndef TOPIARY_SERVER_API_STREAM_REGISTRY_H_
#define TOPIARY_SERVER_API_STREAM_REGISTRY_H_

#include <map>
#include <memory>

#include "absl/status/status.h"
#include "common/mutex.h"

namespace topiary {

// A stream that can be ended from outside. Thread-safe.
class StoppableStream {
 public:
  virtual ~StoppableStream() = default;

  // Ends the stream with `status` as soon as it has nothing in flight. Does nothing if it has ended
  // or was stopped already.
  virtual void Stop(absl::Status status) = 0;
};

// The open streams of all services: limits their number and ends them for a shutdown. Thread-safe.
class StreamRegistry {
 public:
  explicit StreamRegistry(int max_streams) : max_streams_(max_streams) {}

  // RESOURCE_EXHAUSTED, reason SERVER_BUSY, if there are too many; UNAVAILABLE, reason DRAINING,
  // after StopAll.
  absl::Status Add(std::shared_ptr<StoppableStream> stream);
  void Remove(StoppableStream* stream);

  // Ends all streams with UNAVAILABLE, reason DRAINING, and admits no more.
  void StopAll();

  int size() const;

 private:
  const int max_streams_;
  mutable Mutex mu_;
  std::map<StoppableStream*, std::weak_ptr<StoppableStream>> streams_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_STREAM_REGISTRY_H_
