#ifndef TOPIARY_SERVER_METRICS_CALL_METRICS_H_
#define TOPIARY_SERVER_METRICS_CALL_METRICS_H_

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <vector>

namespace topiary {

// One method of a service that is served.
struct CallMethod {
  std::string service;  // "topiary.v1.CompressionService"
  std::string method;   // "CreateJob"
  std::string type;     // "unary", "client_stream", "server_stream" or "bidi_stream"
};

// Counts calls, under the names that dashboards for gRPC query:
//   grpc_server_started_total{grpc_type,grpc_service,grpc_method}
//   grpc_server_handled_total{grpc_type,grpc_service,grpc_method,grpc_code}
//   grpc_server_handling_seconds{grpc_type,grpc_service,grpc_method}, a histogram
// A held call is as long as it was held. A call that ended without a status of ours (its client
// went away) counts as Cancelled. Calls of methods that are not in `methods` are not counted.
//
// To be given to grpc::ServerBuilder::experimental().SetInterceptorCreators. `registry` must
// outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewCallMetrics(
    const std::vector<CallMethod>& methods, prometheus::Registry* registry);

}  // namespace topiary

#endif  // TOPIARY_SERVER_METRICS_CALL_METRICS_H_
