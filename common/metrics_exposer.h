#ifndef TOPIARY_COMMON_METRICS_EXPOSER_H_
#define TOPIARY_COMMON_METRICS_EXPOSER_H_

#include <prometheus/registry.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Exposer;
}  // namespace prometheus

namespace topiary {

class ProcessMetrics;

// Adds the gauge topiary_build_info to `registry`: always 1, the facts are its labels. `version`
// (common/version.h) and `compiler` are added to `labels`.
void AddBuildInfo(prometheus::Registry* registry, std::map<std::string, std::string> labels);

// Serves a registry, and the process_* metrics of this process, at http://ADDRESS/metrics in
// Prometheus' text format. Stops with its destruction. Thread-safe.
class MetricsExposer {
 public:
  // `address` is host:port; port 0 takes a free one. UNAVAILABLE if it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(
      const std::string& address, std::shared_ptr<prometheus::Registry> registry);

  ~MetricsExposer();
  MetricsExposer(const MetricsExposer&) = delete;
  MetricsExposer& operator=(const MetricsExposer&) = delete;

  int port() const;

 private:
  MetricsExposer(std::unique_ptr<prometheus::Exposer> exposer,
                 std::shared_ptr<prometheus::Registry> registry);

  std::shared_ptr<prometheus::Registry> registry_;
  std::shared_ptr<ProcessMetrics> process_metrics_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_METRICS_EXPOSER_H_
