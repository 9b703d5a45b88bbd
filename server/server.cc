#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>

#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "common/metrics_exposer.h"
#include "common/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "server/coordinator.h"
#include "server/metrics/call_metrics.h"

namespace topiary {
namespace {

constexpr int kMaxMessageBytes = 4 * 1024 * 1024;
constexpr size_t kMaxNetworkMemoryBytes = size_t{512} * 1024 * 1024;
// A connection that says nothing is probed; clients may probe every ten seconds.
constexpr int kKeepaliveMs = 60 * 1000;
constexpr int kKeepaliveTimeoutMs = 20 * 1000;
constexpr int kMinClientPingMs = 9 * 1000;
constexpr int kMaxStreamsPerConnection = 1000;
// For answers that are given to reach their clients.
constexpr absl::Duration kLastAnswers = absl::Milliseconds(200);

std::vector<const google::protobuf::ServiceDescriptor*> Services() {
  return {v1::Job::descriptor()->file()->service(0), v1::Artifact::descriptor()->file()->service(0),
          v1::Lease::descriptor()->file()->service(0),
          v1::Worker::descriptor()->file()->service(0)};
}

const char* TypeOf(const google::protobuf::MethodDescriptor& method) {
  if (method.client_streaming()) return method.server_streaming() ? "bidi_stream" : "client_stream";
  return method.server_streaming() ? "server_stream" : "unary";
}

std::vector<CallMethod> Methods() {
  std::vector<CallMethod> methods = {{"grpc.health.v1.Health", "Check", "unary"},
                                     {"grpc.health.v1.Health", "Watch", "server_stream"}};
  for (const auto* service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const auto* method = service->method(i);
      methods.push_back({service->full_name(), method->name(), TypeOf(*method)});
    }
  }
  return methods;
}

void SetLimits(grpc::ServerBuilder* builder) {
  grpc::ResourceQuota quota("topiary-server");
  quota.Resize(kMaxNetworkMemoryBytes);
  builder->SetResourceQuota(quota);
  builder->SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder->SetMaxSendMessageSize(kMaxMessageBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreamsPerConnection);
  // Otherwise a second coordinator at the same port would start and take half of the calls.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kMinClientPingMs);
}

// Process-wide switches of gRPC, which take effect for servers built from then on.
void EnablePlugins(bool reflection) {
  grpc::EnableDefaultHealthCheckService(true);
  static std::once_flag once;
  if (reflection) std::call_once(once, grpc::reflection::InitProtoReflectionServerBuilderPlugin);
}

std::string WithPort(const std::string& address, int port) {
  if (address.rfind("unix:", 0) == 0) return address;
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

class GrpcServer : public Server {
 public:
  GrpcServer(const ServerConfig& config, std::unique_ptr<MetadataStore> metadata,
             std::unique_ptr<ArtifactStore> blobs, Clock* clock)
      : config_(config),
        registry_(std::make_shared<prometheus::Registry>()),
        coordinator_(config, std::move(metadata), std::move(blobs), clock, registry_.get()) {}

  ~GrpcServer() override { Shutdown(); }

  absl::Status Listen() {
    EnablePlugins(config_.reflection);
    grpc::ServerBuilder builder;
    SetLimits(&builder);
    int port = 0;
    builder.AddListeningPort(config_.listen, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(coordinator_.compression_service());
    builder.RegisterService(coordinator_.artifact_service());
    builder.RegisterService(coordinator_.worker_service());
    builder.RegisterService(coordinator_.admin_service());
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> metrics;
    metrics.push_back(NewCallMetrics(Methods(), registry_.get()));
    builder.experimental().SetInterceptorCreators(std::move(metrics));
    grpc_server_ = builder.BuildAndStart();
    if (grpc_server_ == nullptr || port == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", config_.listen,
                       ": is the address this machine's, and is no other process using it?"));
    }
    address_ = WithPort(config_.listen, port);
    return ListenForMetrics();
  }

  void Begin() {
    coordinator_.StartBackground();
    SetServing(true);
    LogInfo("serving", {{"address", address_}, {"metrics_address", metrics_address_}});
  }

  std::string address() const override { return address_; }
  std::string metrics_address() const override { return metrics_address_; }

  void Shutdown() override {
    std::call_once(shut_down_, [this] {
      if (grpc_server_ != nullptr) {
        LogInfo("draining");
        SetServing(false);
        const absl::Time deadline = absl::Now() + config_.drain_timeout;
        coordinator_.Drain(deadline);
        coordinator_.WaitUntilIdle(deadline);
        // gRPC would wait for idle clients to hang up, which they may not notice for long.
        grpc_server_->Shutdown(absl::ToChronoTime(absl::Now() + kLastAnswers));
        grpc_server_->Wait();
        LogInfo("stopped");
      }
      coordinator_.StopBackground();
      exposer_.reset();
    });
  }

 private:
  absl::Status ListenForMetrics() {
    if (config_.metrics_listen.empty() || config_.metrics_listen == "none") {
      return absl::OkStatus();
    }
    AddBuildInfo(registry_.get(), {});
    ASSIGN_OR_RETURN(exposer_, MetricsExposer::Start(config_.metrics_listen, registry_));
    metrics_address_ = WithPort(config_.metrics_listen, exposer_->port());
    return absl::OkStatus();
  }

  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* health = grpc_server_->GetHealthCheckService();
    health->SetServingStatus(serving);
    for (const auto* service : Services()) health->SetServingStatus(service->full_name(), serving);
  }

  const ServerConfig config_;
  const std::shared_ptr<prometheus::Registry> registry_;
  Coordinator coordinator_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<MetricsExposer> exposer_;
  std::string address_;
  std::string metrics_address_;
  std::once_flag shut_down_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config,
                                                      std::unique_ptr<MetadataStore> metadata,
                                                      std::unique_ptr<ArtifactStore> blobs,
                                                      Clock* clock) {
  RETURN_IF_ERROR(ValidateConfig(config));
  auto server = std::make_unique<GrpcServer>(config, std::move(metadata), std::move(blobs), clock);
  RETURN_IF_ERROR(server->Listen());
  server->Begin();
  return server;
}

}  // namespace topiary
