#include "server/api/worker_service.h"

#include <utility>

#include "absl/status/statusor.h"
#include "server/api/dispatch.h"
#include "server/api/request_validation.h"
#include "server/api/worker_proto.h"

namespace topiary {
namespace {

absl::Status Answer(const absl::StatusOr<WorkerOrders>& orders, v1::SynchronizeResponse* response) {
  if (!orders.ok()) return orders.status();
  absl::StatusOr<v1::SynchronizeResponse> proto = ToProto(*orders);
  if (!proto.ok()) return proto.status();
  *response = *std::move(proto);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* WorkerService::Synchronize(grpc::CallbackServerContext* context,
                                                     const v1::SynchronizeRequest* request,
                                                     v1::SynchronizeResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (absl::Status valid = ValidateSynchronize(*request); !valid.ok()) {
    reactor->Finish(ToAnswer(valid));
    return reactor;
  }
  const bool posted = executor_->Post([=] {
    scheduler_->Synchronize(
        FromProto(*request, store_->Now()), [context] { return context->IsCancelled(); },
        [reactor, response](const absl::StatusOr<WorkerOrders>& orders) {
          reactor->Finish(ToAnswer(Answer(orders, response)));
        });
  });
  if (!posted) reactor->Finish(ToAnswer(BusyError()));
  return reactor;
}

}  // namespace topiary
