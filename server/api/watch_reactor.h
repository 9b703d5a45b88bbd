#ifndef TOPIARY_SERVER_API_WATCH_REACTOR_H_
#define TOPIARY_SERVER_API_WATCH_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>

#include "server/api/stepwise_reactor.h"
#include "server/scheduling/job_events.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// WatchJob: sends the events of a job in order, a few at a time, and waits for more until the job
// has ended.
class WatchReactor : public StepwiseReactor<grpc::ServerWriteReactor<v1::JobEvent>> {
 public:
  // Events after sequence `after`. `events` must outlive the reactor.
  WatchReactor(JobEvents* events, const JobName& job, int64_t after, Executor* executor,
               StreamRegistry* streams);

  void ReadEvents();

  void OnWriteDone(bool ok) override;
  void OnWake() override;

 private:
  // Writes the next event that was read, or goes on to read more.
  void SendNext();

  const std::unique_ptr<JobWatch> watch_;
  std::deque<v1::JobEvent> unsent_;
  v1::JobEvent sending_;
  bool ended_ = false;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_WATCH_REACTOR_H_
