// The safetensors file format: 8 bytes of little-endian header length, a JSON
// header that gives name, dtype, shape and place of each tensor, then the
// tensors' bytes, little-endian and row-major, without gaps.
// (https://github.com/huggingface/safetensors)
#ifndef TOPIARY_WORKER_MODEL_SAFETENSORS_H_
#define TOPIARY_WORKER_MODEL_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

struct SafetensorsFile {
  // In the order of their bytes in the file. Names are unique.
  std::vector<std::pair<std::string, Tensor>> tensors;
  // The "__metadata__" entry.
  std::map<std::string, std::string> metadata;

  // Null if there is none of this name. Linear search.
  const Tensor* Find(absl::string_view name) const;
};

struct SafetensorsLimits {
  int64_t max_file_bytes = int64_t{8} << 30;
  int64_t max_header_bytes = int64_t{32} << 20;
  int64_t max_tensors = 1000000;
  int64_t max_rank = 8;
};

// Writes `file` to `path`, whole or not at all. The bytes depend on the contents alone;
// the header is padded with spaces so that tensor bytes start at a multiple of 8.
// Dtypes: float32 (F32), int32 (I32), int64 (I64), uint8 (U8); INVALID_ARGUMENT
// for others and for a name that is repeated, empty, not UTF-8 or "__metadata__".
absl::Status WriteSafetensors(const SafetensorsFile& file, const std::string& path);

// A tensor without its numbers.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;
};

// The size of the file that WriteSafetensors() would write of such tensors, to the byte; errors as
// there.
absl::StatusOr<int64_t> SafetensorsBytes(absl::Span<const SafetensorsEntry> tensors,
                                         const std::map<std::string, std::string>& metadata);

// Reads the file at `path`, which is not trusted: INVALID_ARGUMENT, naming the
// tensor, where header and bytes do not agree, tensors overlap or leave gaps;
// RESOURCE_EXHAUSTED where a limit is passed; UNIMPLEMENTED for another dtype.
absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path,
                                                const SafetensorsLimits& limits = {});

// As ReadSafetensors(), from bytes in memory.
absl::StatusOr<SafetensorsFile> ParseSafetensors(absl::string_view bytes,
                                                 const SafetensorsLimits& limits = {});

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_SAFETENSORS_H_
