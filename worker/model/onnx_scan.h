#ifndef TOPIARY_WORKER_MODEL_ONNX_SCAN_H_
#define TOPIARY_WORKER_MODEL_ONNX_SCAN_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

struct OnnxScan {
  int64_t fields = 0;           // Fields of all messages.
  int64_t structure_bytes = 0;  // Of the file, without raw weights.
};

// Walks over the bytes of an ONNX model without allocating anything, so that a file that would
// take far more memory than its size (millions of empty messages, deep nesting) is refused before
// protobuf parses it. Only the wire format is checked.
//
// INVALID_ARGUMENT: not protobuf, or messages nested deeper than ONNX ever needs.
// RESOURCE_EXHAUSTED: more fields or structure bytes than allowed.
absl::StatusOr<OnnxScan> ScanOnnx(absl::string_view bytes, int64_t max_fields,
                                  int64_t max_structure_bytes);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_ONNX_SCAN_H_
