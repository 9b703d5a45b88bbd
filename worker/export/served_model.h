// A model as it is served: from the block-compressed file of a job, or from any ONNX file.
#ifndef TOPIARY_WORKER_EXPORT_SERVED_MODEL_H_
#define TOPIARY_WORKER_EXPORT_SERVED_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/model/graph.h"

namespace topiary {

struct ServedModel {
  Graph graph;  // Its weights dense.
  // Of the weights that the file has in blocks: those with an element other than 0, whatever their
  // support was in training. Without weights of which kernels cannot leave out blocks.
  std::map<std::string, std::shared_ptr<const BlockSparsePattern>> kept;
};

// A file whose name ends in ".safetensors" is taken for a block-compressed one, any other for ONNX,
// with its external data beside it; neither is trusted. `max_bytes` bounds the dense weights (0:
// the limits of their readers). Errors as ReadBlockSparseFile() and ImportOnnx().
absl::StatusOr<ServedModel> ReadServedModel(const std::string& path, int64_t max_bytes = 0);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_SERVED_MODEL_H_
