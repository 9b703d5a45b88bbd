#ifndef TOPIARY_COMMON_GRPC_STATUS_H_
#define TOPIARY_COMMON_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

// absl::Status <-> grpc::Status, the only place where one becomes the other. Codes coincide.
// Details of google.rpc travel as payloads of the absl::Status under their type URLs
// ("type.googleapis.com/google.rpc.ErrorInfo"), and in the trailer "grpc-status-details-bin" as the
// serialized google.rpc.Status that other languages' libraries expect.
namespace topiary {

// Messages longer than this are cut, and details that would make the trailers larger than HTTP/2
// peers accept are left out, the largest first.
inline constexpr int kMaxStatusMessageBytes = 1024;
inline constexpr int kMaxStatusDetailsBytes = 5 * 1024;

// Payloads under other type URLs stay behind. Any text may be given: what is not UTF-8 is replaced.
grpc::Status ToGrpcStatus(const absl::Status& status);

// Details that are not a serialized google.rpc.Status are dropped.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace topiary

#endif  // TOPIARY_COMMON_GRPC_STATUS_H_
