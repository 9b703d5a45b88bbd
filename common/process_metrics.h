#ifndef TOPIARY_COMMON_PROCESS_METRICS_H_
#define TOPIARY_COMMON_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace topiary {

// The standard metrics of Prometheus' clients about their own process, read from /proc when asked:
// process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes,
// process_open_fds, process_max_fds, process_threads, process_start_time_seconds. What cannot be
// read is left out. Thread-safe.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_PROCESS_METRICS_H_
