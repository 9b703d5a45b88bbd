#include "server/metrics/call_metrics.h"

#include <grpcpp/support/status.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace topiary {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

// By the number of the code, in the spelling of the Go and Java interceptors.
constexpr std::array<const char*, 17> kCodes = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

struct MethodMetrics {
  prometheus::Counter* started = nullptr;
  prometheus::Histogram* seconds = nullptr;
  std::array<prometheus::Counter*, kCodes.size()> handled{};
};

// One call. Its methods are called one at a time.
class CallInterceptor : public Interceptor {
 public:
  explicit CallInterceptor(const MethodMetrics* metrics) : metrics_(metrics), start_(absl::Now()) {
    metrics_->started->Increment();
  }

  ~CallInterceptor() override {
    metrics_->handled[code_]->Increment();
    metrics_->seconds->Observe(absl::ToDoubleSeconds(absl::Now() - start_));
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const int code = methods->GetSendStatus().error_code();
      if (code >= 0 && code < static_cast<int>(kCodes.size())) code_ = code;
    }
    methods->Proceed();
  }

 private:
  const MethodMetrics* const metrics_;
  const absl::Time start_;
  int code_ = grpc::StatusCode::CANCELLED;
};

// A method that is not counted.
class NoInterceptor : public Interceptor {
 public:
  void Intercept(InterceptorBatchMethods* methods) override { methods->Proceed(); }
};

class CallMetrics : public ServerInterceptorFactoryInterface {
 public:
  CallMetrics(const std::vector<CallMethod>& methods, prometheus::Registry* registry) {
    auto& started = prometheus::BuildCounter()
                        .Name("grpc_server_started_total")
                        .Help("Calls that began, by method.")
                        .Register(*registry);
    auto& handled = prometheus::BuildCounter()
                        .Name("grpc_server_handled_total")
                        .Help("Calls that ended, by method and code.")
                        .Register(*registry);
    auto& seconds = prometheus::BuildHistogram()
                        .Name("grpc_server_handling_seconds")
                        .Help("Time from a call's arrival to its end, by method.")
                        .Register(*registry);
    for (const CallMethod& method : methods) {
      std::map<std::string, std::string> labels = {{"grpc_type", method.type},
                                                   {"grpc_service", method.service},
                                                   {"grpc_method", method.method}};
      MethodMetrics& metrics = by_path_[absl::StrCat("/", method.service, "/", method.method)];
      metrics.started = &started.Add(labels);
      metrics.seconds =
          &seconds.Add(labels, prometheus::Histogram::BucketBoundaries{0.001, 0.005, 0.01, 0.05,
                                                                       0.1, 0.5, 1, 5, 10, 30, 60});
      for (size_t code = 0; code < kCodes.size(); ++code) {
        labels["grpc_code"] = kCodes[code];
        metrics.handled[code] = &handled.Add(labels);
      }
    }
  }

  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override {
    const auto found = by_path_.find(info->method());
    if (found == by_path_.end()) return new NoInterceptor;
    return new CallInterceptor(&found->second);
  }

 private:
  std::map<std::string, MethodMetrics> by_path_;
};

}  // namespace

std::unique_ptr<ServerInterceptorFactoryInterface> NewCallMetrics(
    const std::vector<CallMethod>& methods, prometheus::Registry* registry) {
  return std::make_unique<CallMetrics>(methods, registry);
}

}  // namespace topiary
