#include "common/metrics_exposer.h"

#include <prometheus/exposer.h>
#include <prometheus/gauge.h>

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/process_metrics.h"
#include "common/version.h"

namespace topiary {

void AddBuildInfo(prometheus::Registry* registry, std::map<std::string, std::string> labels) {
  labels["version"] = kVersion;
  labels["compiler"] = __VERSION__;
  prometheus::BuildGauge()
      .Name("topiary_build_info")
      .Help("Always 1; its labels say what this program was built from and runs on.")
      .Register(*registry)
      .Add(labels)
      .Set(1);
}

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& address, std::shared_ptr<prometheus::Registry> registry) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address, /*num_threads=*/2);
    return std::unique_ptr<MetricsExposer>(
        new MetricsExposer(std::move(exposer), std::move(registry)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics at ", address, " (is the port taken?): ", error.what()));
  }
}

MetricsExposer::MetricsExposer(std::unique_ptr<prometheus::Exposer> exposer,
                               std::shared_ptr<prometheus::Registry> registry)
    : registry_(std::move(registry)),
      process_metrics_(std::make_shared<ProcessMetrics>()),
      exposer_(std::move(exposer)) {
  exposer_->RegisterCollectable(registry_);
  exposer_->RegisterCollectable(process_metrics_);
}

MetricsExposer::~MetricsExposer() = default;

int MetricsExposer::port() const { return exposer_->GetListeningPorts().front(); }

}  // namespace topiary
