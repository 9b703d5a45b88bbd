#ifndef TOPIARY_SERVER_API_ADMIN_SERVICE_H_
#define TOPIARY_SERVER_API_ADMIN_SERVICE_H_

#include "server/api/executor.h"
#include "server/scheduling/scheduler.h"
#include "topiary/v1/admin.grpc.pb.h"

namespace topiary {

// Workers as an operator sees them, as proto/topiary/v1/admin.proto describes it. Thread-safe. All
// that is given to it must outlive it.
class AdminService : public v1::AdminService::CallbackService {
 public:
  AdminService(Scheduler* scheduler, Executor* executor)
      : scheduler_(scheduler), executor_(executor) {}

  grpc::ServerUnaryReactor* ListWorkers(grpc::CallbackServerContext* context,
                                        const v1::ListWorkersRequest* request,
                                        v1::ListWorkersResponse* response) override;
  grpc::ServerUnaryReactor* DrainWorker(grpc::CallbackServerContext* context,
                                        const v1::DrainWorkerRequest* request,
                                        v1::Worker* response) override;

 private:
  Scheduler* const scheduler_;
  Executor* const executor_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_ADMIN_SERVICE_H_
