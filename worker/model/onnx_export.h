// Writes a Graph as an ONNX file.
#ifndef TOPIARY_WORKER_MODEL_ONNX_EXPORT_H_
#define TOPIARY_WORKER_MODEL_ONNX_EXPORT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/model/graph.h"

namespace topiary {

// Writes the inference form of `graph` (see inference_form.h) to `path`, all
// weights inside, then reads it back and compares. The bytes depend on the
// graph alone: no time, host or version is in them. The file appears whole or
// not at all.
//
// INVALID_ARGUMENT: the graph has no inference form, is malformed, or the file would pass the
// 2 GiB that protobuf allows. INTERNAL: the file read back is not the graph written.
// Other errors are those of writing a file.
absl::Status ExportOnnx(const Graph& graph, const std::string& path);

// The bytes that ExportOnnx() writes, of `graph` as it is (not of its inference form).
absl::StatusOr<std::string> SerializeOnnx(const Graph& graph);

// How many they are, of a graph of any size, without making them.
int64_t OnnxBytes(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_ONNX_EXPORT_H_
