#include "server/api/dispatch.h"

#include <utility>

#include "common/grpc_status.h"
#include "common/logging.h"
#include "server/api/error_details.h"
#include "server/jobs/status_reason.h"

namespace topiary {

grpc::Status ToAnswer(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      LogError("call failed", {{"error", status.ToString()}});
      break;
    default:
      break;
  }
  return ToGrpcStatus(WithErrorDetails(status));
}

absl::Status BusyError() {
  return WithReason(
      absl::ResourceExhaustedError("the coordinator has more calls than it can serve; try again"),
      kReasonServerBusy);
}

grpc::ServerUnaryReactor* Dispatch(grpc::CallbackServerContext* context, Executor* executor,
                                   const absl::Status& valid, std::function<absl::Status()> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!valid.ok()) {
    reactor->Finish(ToAnswer(valid));
    return reactor;
  }
  const bool posted =
      executor->Post([reactor, work = std::move(work)] { reactor->Finish(ToAnswer(work())); });
  if (!posted) reactor->Finish(ToAnswer(BusyError()));
  return reactor;
}

}  // namespace topiary
