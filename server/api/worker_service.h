#ifndef TOPIARY_SERVER_API_WORKER_SERVICE_H_
#define TOPIARY_SERVER_API_WORKER_SERVICE_H_

#include "server/api/executor.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/scheduler.h"
#include "topiary/v1/workers.grpc.pb.h"

namespace topiary {

// The workers' conversation, as proto/topiary/v1/workers.proto describes it. A held call is kept by
// the scheduler and costs no thread. Thread-safe. All that is given to it must outlive it.
class WorkerService : public v1::WorkerService::CallbackService {
 public:
  WorkerService(Scheduler* scheduler, JobStore* store, Executor* executor)
      : scheduler_(scheduler), store_(store), executor_(executor) {}

  grpc::ServerUnaryReactor* Synchronize(grpc::CallbackServerContext* context,
                                        const v1::SynchronizeRequest* request,
                                        v1::SynchronizeResponse* response) override;

 private:
  Scheduler* const scheduler_;
  JobStore* const store_;
  Executor* const executor_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_WORKER_SERVICE_H_
