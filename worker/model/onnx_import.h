// Reads an ONNX file into a Graph. The file is not trusted: whatever its bytes,
// the result is a Graph or an error, within the limits below.
#ifndef TOPIARY_WORKER_MODEL_ONNX_IMPORT_H_
#define TOPIARY_WORKER_MODEL_ONNX_IMPORT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/model/graph.h"

namespace topiary {

// What a model may be. Defaults suit networks up to some hundred million parameters.
struct ImportLimits {
  int64_t max_file_bytes = int64_t{2} << 30;    // The .onnx file; protobuf allows no more.
  int64_t max_tensor_bytes = int64_t{4} << 30;  // All weights and tensor attributes together.
  // Bytes of the .onnx file that are not raw weights, and fields of its messages:
  // they bound what parsing allocates, before anything is parsed.
  int64_t max_structure_bytes = int64_t{64} << 20;
  int64_t max_fields = 2000000;
  int64_t max_nodes = 100000;
  int64_t max_rank = 8;
  int64_t max_name_bytes = 4096;
};

// Opsets and IR versions that ImportOnnx() takes.
inline constexpr int64_t kMinOpset = 13;
inline constexpr int64_t kMaxOpset = 21;
inline constexpr int64_t kMaxIrVersion = 10;

// Reads the model at `path`. Weights may lie in the file or, as PyTorch's
// exporter writes them, in other files beside it ("external data"): such a file
// must be a regular file below the folder of `path`, named by a relative path
// without "..", and no part of that path may be a symbolic link.
//
// Three things differ from the file, so that a model can be trained: graph inputs that an
// initializer provides are left out; a ReduceMean over all spatial axes becomes the
// GlobalAveragePool it is (see global_means.h); and an Identity node whose operand is an
// initializer becomes an initializer of its own under the node's output name (PyTorch's exporter
// writes such nodes for parameters and statistics that were equal on the day of the export, which
// do not stay equal).
//
// Errors: NOT_FOUND or UNAVAILABLE where a file cannot be read;
// INVALID_ARGUMENT for bytes that are no ONNX model, a malformed graph
// (duplicate names, cycles, missing inputs), a weight whose size does not match its
// shape; UNIMPLEMENTED for a legal model that is not supported (opset or IR
// version, custom operators, subgraphs, functions, sparse or quantized
// weights, weights in float16, bfloat16 or double);
// RESOURCE_EXHAUSTED where a limit is passed, which it names.
// Operators are not checked here but by InferShapes().
absl::StatusOr<Graph> ImportOnnx(const std::string& path, const ImportLimits& limits = {});

// As ImportOnnx(), from the bytes of such a file. Weights in other files are INVALID_ARGUMENT.
absl::StatusOr<Graph> ParseOnnx(absl::string_view bytes, const ImportLimits& limits = {});

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_ONNX_IMPORT_H_
