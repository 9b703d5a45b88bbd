// What the machine can do at best, to judge figures by.
#ifndef TOPIARY_BENCH_MACHINE_H_
#define TOPIARY_BENCH_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"

namespace topiary {

// "AMD EPYC, avx512_core_bf16, 2 threads".
std::string DescribeMachine(const BackendInfo& info);

// 1e9 floating-point operations a second of a product of 1024 x 1024 matrices, the best of several.
absl::StatusOr<double> PeakGflops(Backend* backend);

// 1e9 bytes a second, read and written, of an element-wise function over 256 MiB, the best of
// several.
absl::StatusOr<double> PeakGbytesPerSecond(Backend* backend);

}  // namespace topiary

#endif  // TOPIARY_BENCH_MACHINE_H_
