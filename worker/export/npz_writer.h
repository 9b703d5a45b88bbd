#ifndef TOPIARY_WORKER_EXPORT_NPZ_WRITER_H_
#define TOPIARY_WORKER_EXPORT_NPZ_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Of the elements of an array; the plain zip format ends at 4 GiB.
constexpr int64_t kMaxNpzBytes = (int64_t{1} << 32) - (int64_t{1} << 20);

// Writes one float32 array as a NumPy .npz archive (stored, not deflated), whole or not at all. The
// bytes depend on name and array alone: the archive's time is 1980-01-01. INVALID_ARGUMENT where
// the array is not float32 or larger than kMaxNpzBytes.
absl::Status WriteNpz(absl::string_view array_name, const Tensor& array, const std::string& path);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_NPZ_WRITER_H_
