#ifndef TOPIARY_SERVER_API_WORKER_PROTO_H_
#define TOPIARY_SERVER_API_WORKER_PROTO_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/scheduling/worker.h"
#include "topiary/v1/admin.pb.h"
#include "topiary/v1/workers.pb.h"

// WorkerService's conversation as messages and as the structs of server/scheduling.
namespace topiary {

// `request` must have passed ValidateSynchronize. `now` is when it arrived, by the store's clock.
WorkerReport FromProto(const v1::SynchronizeRequest& request, absl::Time now);

// DATA_LOSS where a stored spec cannot be read.
absl::StatusOr<v1::SynchronizeResponse> ToProto(const WorkerOrders& orders);

v1::Worker ToProto(const WorkerInfo& worker);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_WORKER_PROTO_H_
