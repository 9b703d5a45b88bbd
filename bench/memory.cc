#include "bench/memory.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {

absl::StatusOr<int64_t> PeakResidentSize() {
  ASSIGN_OR_RETURN(const std::string status, ReadFile("/proc/self/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::ConsumePrefix(&line, "VmHWM:")) continue;
    absl::ConsumeSuffix(&line, "kB");
    int64_t kibibytes = 0;
    if (absl::SimpleAtoi(line, &kibibytes)) return kibibytes << 10;
  }
  return absl::UnavailableError("/proc/self/status has no VmHWM");
}

}  // namespace topiary
