#ifndef TOPIARY_BENCH_MEMORY_H_
#define TOPIARY_BENCH_MEMORY_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace topiary {

// The most memory that this process has had so far, in bytes.
absl::StatusOr<int64_t> PeakResidentSize();

}  // namespace topiary

#endif  // TOPIARY_BENCH_MEMORY_H_
