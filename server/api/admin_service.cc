#include "server/api/admin_service.h"

#include <string>
#include <vector>

#include "common/logging.h"
#include "common/status_macros.h"
#include "server/api/dispatch.h"
#include "server/api/request_validation.h"
#include "server/api/worker_proto.h"

namespace topiary {

grpc::ServerUnaryReactor* AdminService::ListWorkers(grpc::CallbackServerContext* context,
                                                    const v1::ListWorkersRequest* request,
                                                    v1::ListWorkersResponse* response) {
  return Dispatch(context, executor_, ValidateListWorkers(*request), [=]() -> absl::Status {
    const int page_size = PageSizeOf(request->page_size());
    // One more, to know whether there is another page; the token is the last id of this one.
    std::vector<WorkerInfo> workers = scheduler_->ListWorkers(request->page_token(), page_size + 1);
    if (workers.size() > static_cast<size_t>(page_size)) {
      workers.resize(page_size);
      response->set_next_page_token(workers.back().id);
    }
    for (const WorkerInfo& worker : workers) *response->add_workers() = ToProto(worker);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminService::DrainWorker(grpc::CallbackServerContext* context,
                                                    const v1::DrainWorkerRequest* request,
                                                    v1::Worker* response) {
  const absl::StatusOr<std::string> id = RequireWorker(request->name());
  return Dispatch(context, executor_, id.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const WorkerInfo worker, scheduler_->DrainWorker(*id));
    LogInfo("worker asked to drain", {{"worker", *id}});
    *response = ToProto(worker);
    return absl::OkStatus();
  });
}

}  // namespace topiary
