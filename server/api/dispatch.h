#ifndef TOPIARY_SERVER_API_DISPATCH_H_
#define TOPIARY_SERVER_API_DISPATCH_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>

#include "absl/status/status.h"
#include "server/api/executor.h"

namespace topiary {

// The answer to a failed call: `status` with its details (error_details.h) in the trailers. Errors
// that are the service's own fault are logged.
grpc::Status ToAnswer(const absl::Status& status);

// The error of a call that the executor had no room for.
absl::Status BusyError();

// A unary call: refused at once if `valid` is an error, or if the executor is full; otherwise
// `work` runs on the executor, fills in the response, and its status ends the call. The request,
// the response and what else the call owns live until then. Never blocks.
grpc::ServerUnaryReactor* Dispatch(grpc::CallbackServerContext* context, Executor* executor,
                                   const absl::Status& valid, std::function<absl::Status()> work);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_DISPATCH_H_
