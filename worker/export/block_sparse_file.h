// The block-compressed model file: a safetensors file with the graph of a model, the surviving
// blocks of each pruned weight, and every other float32 weight as it is. It is all there is of the
// model: the dense ONNX file can be made of it, bit for bit.
//
// For a pruned weight "fc1.weight" the file has
//   fc1.weight.values        float32 [live blocks, block rows, block cols]
//   fc1.weight.crow_indices  int32   [rows of blocks + 1]
//   fc1.weight.col_indices   int32   [live blocks]
// which torch.sparse_bsr_tensor(crow_indices, col_indices, values, size=padded_shape) takes as they
// are; any other float32 initializer of the model is there under its own name, and
//   topiary.graph            uint8 [bytes]
// is the ONNX file of the model, in which each of these initializers has the shape [0] and no
// elements. (Initializers of other types, such as shapes and indices, are whole there.) Metadata:
//   "format"            "topiary-block-sparse"
//   "format_version"    "1"
//   "topiary.manifest"  JSON: {"layers": [{
//       "name":          of the weight,
//       "dense_shape":   of the tensor in the ONNX model,
//       "permutation":   order in which the matrix reads its axes ([0, 2, 3, 1] for a convolution),
//       "groups":        matrices that stand below one another, each padded for itself,
//       "shape":         of the matrix, all groups, without padding,
//       "padded_shape":  with it,
//       "block":         [rows, cols] in the orientation of the matrix,
//       "blocks_live", "blocks_total",
//       "sha256":        of the dense weight's bytes (little-endian, row-major)}],
//     "tensors": [{"name", "sha256"}] for the weights that are stored whole}.
// The bytes depend on the graph, its weights and the support alone.
#ifndef TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_FILE_H_
#define TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_FILE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/export/block_sparse_matrix.h"
#include "worker/model/graph.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// A pruned weight of the graph, by the name in its partition.
struct PrunedWeight {
  std::shared_ptr<const BlockPartition> partition;
  Support support;
};

// Writes `graph`, the initializers of `pruned` as blocks. The file appears whole or not at all.
// INTERNAL where a pruned block is not zero; INVALID_ARGUMENT where names collide.
absl::Status WriteBlockSparseFile(const Graph& graph, absl::Span<const PrunedWeight> pruned,
                                  const std::string& path);

// How many blocks of a weight are kept, without saying which.
struct KeptBlockCount {
  std::shared_ptr<const BlockPartition> partition;
  int64_t live = 0;
};

// The size, to the byte, of the file that WriteBlockSparseFile() would write: which blocks are kept
// does not matter for it.
absl::StatusOr<int64_t> BlockSparseFileBytes(const Graph& graph,
                                             absl::Span<const KeptBlockCount> pruned);

// Bytes in it of the values and indices of a weight with `live` blocks.
int64_t StoredBytes(const BlockPartition& partition, int64_t live);

struct BlockSparseModel {
  Graph graph;                                       // As it was written, its weights dense.
  std::map<std::string, BlockSparseLayout> layouts;  // Of weights stored as blocks, by name.
};

// Reads such a file, which is not trusted, and makes every weight dense again, bit for bit; each is
// checked against its digest. INVALID_ARGUMENT, naming the weight, where the file is malformed;
// DATA_LOSS where a digest does not match; RESOURCE_EXHAUSTED where the dense weights would pass
// `max_dense_bytes`; other errors as ReadSafetensors() and ParseOnnx().
absl::StatusOr<BlockSparseModel> ReadBlockSparseFile(const std::string& path,
                                                     int64_t max_dense_bytes = int64_t{8} << 30);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_FILE_H_
