#include "common/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/file.h"

namespace topiary {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Single(const std::string& name, const std::string& help, MetricType type,
                    double value) {
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(metric);
  return family;
}

// Seconds since 1970 at which the machine was started, from /proc/stat.
absl::optional<double> BootTime() {
  const absl::StatusOr<std::string> stat = ReadFile("/proc/stat");
  if (!stat.ok()) return absl::nullopt;
  for (absl::string_view line : absl::StrSplit(*stat, '\n')) {
    double seconds = 0;
    if (absl::ConsumePrefix(&line, "btime ") && absl::SimpleAtod(line, &seconds)) return seconds;
  }
  return absl::nullopt;
}

// The fields of /proc/self/stat from the third on (proc(5) numbers them from 1). The second, the
// program's name, may itself hold blanks and parentheses.
std::vector<double> StatFields() {
  std::vector<double> fields;
  const absl::StatusOr<std::string> stat = ReadFile("/proc/self/stat");
  if (!stat.ok()) return fields;
  const size_t end_of_name = stat->rfind(')');
  if (end_of_name == std::string::npos) return fields;
  for (absl::string_view text :
       absl::StrSplit(stat->substr(end_of_name + 1), ' ', absl::SkipEmpty())) {
    double value = 0;
    if (!absl::SimpleAtod(text, &value)) value = 0;  // The state is a letter.
    fields.push_back(value);
  }
  return fields;
}

void AddStat(std::vector<MetricFamily>* families) {
  const std::vector<double> fields = StatFields();
  constexpr size_t kFirst = 3;  // The number of fields[0] in proc(5).
  if (fields.size() <= 24 - kFirst) return;
  const auto field = [&fields](size_t number) { return fields[number - kFirst]; };
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  families->push_back(Single("process_cpu_seconds_total",
                             "Total user and system CPU time spent in seconds.",
                             MetricType::Counter, (field(14) + field(15)) / ticks));
  families->push_back(
      Single("process_threads", "Number of threads.", MetricType::Gauge, field(20)));
  families->push_back(Single("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                             MetricType::Gauge, field(23)));
  families->push_back(Single("process_resident_memory_bytes", "Resident memory size in bytes.",
                             MetricType::Gauge, field(24) * page));
  if (const absl::optional<double> boot = BootTime()) {
    families->push_back(Single("process_start_time_seconds",
                               "Start time of the process since unix epoch in seconds.",
                               MetricType::Gauge, *boot + field(22) / ticks));
  }
}

void AddFileDescriptors(std::vector<MetricFamily>* families) {
  std::error_code error;
  const std::filesystem::directory_iterator open_files("/proc/self/fd", error);
  if (!error) {
    const auto count = std::distance(begin(open_files), end(open_files));
    families->push_back(Single("process_open_fds", "Number of open file descriptors.",
                               MetricType::Gauge, static_cast<double>(count)));
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families->push_back(Single("process_max_fds", "Maximum number of open file descriptors.",
                               MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
}

}  // namespace

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  std::vector<MetricFamily> families;
  AddStat(&families);
  AddFileDescriptors(&families);
  return families;
}

}  // namespace topiary
