#include "worker/export/served_model.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "common/status_macros.h"
#include "worker/engine/layer_work.h"
#include "worker/export/block_sparse_file.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_import.h"

namespace topiary {
namespace {

absl::StatusOr<BlockSparseModel> ReadModel(const std::string& path, int64_t max_bytes) {
  if (absl::EndsWith(path, ".safetensors")) {
    return max_bytes > 0 ? ReadBlockSparseFile(path, max_bytes) : ReadBlockSparseFile(path);
  }
  BlockSparseModel model;
  ImportLimits limits;
  if (max_bytes > 0) limits.max_tensor_bytes = std::min(limits.max_tensor_bytes, max_bytes);
  ASSIGN_OR_RETURN(model.graph, ImportOnnx(path, limits));
  return model;
}

absl::StatusOr<BlockSparsePattern> NonzeroBlocks(const PrunableLayer& layer, int64_t block_rows,
                                                 int64_t block_cols, const float* weight) {
  const int64_t rows = std::min(block_rows, layer.rows), cols = std::min(block_cols, layer.cols);
  const int64_t down = (layer.rows - 1) / rows + 1, across = (layer.cols - 1) / cols + 1;
  std::vector<uint8_t> kept(layer.groups * down * across, 0);
  for (int64_t group = 0; group < layer.groups; ++group) {
    uint8_t* of_group = kept.data() + group * down * across;
    for (int64_t row = 0; row < layer.rows; ++row) {
      for (int64_t col = 0; col < layer.cols; ++col) {
        if (weight[layer.Offset(group, row, col)] == 0) continue;
        of_group[row / rows * across + col / cols] = 1;
      }
    }
  }
  return BlockSparsePattern::Create(layer.rows, layer.cols, rows, cols, kept, layer.groups);
}

}  // namespace

absl::StatusOr<ServedModel> ReadServedModel(const std::string& path, int64_t max_bytes) {
  ASSIGN_OR_RETURN(BlockSparseModel file, ReadModel(path, max_bytes));
  ServedModel model;
  model.graph = std::move(file.graph);
  for (const PrunableLayer& layer : FindPrunableLayers(model.graph)) {
    const auto layout = file.layouts.find(layer.weight);
    if (layout == file.layouts.end() || !HasSkippableBlocks(layer)) continue;
    // The file's matrices are as the weights are stored, a layer's are [inputs, outputs].
    int64_t block_rows = layout->second.block_rows, block_cols = layout->second.block_cols;
    if (layer.transposed) std::swap(block_rows, block_cols);
    const Tensor& weight = model.graph.FindInitializer(layer.weight)->value;
    ASSIGN_OR_RETURN(BlockSparsePattern pattern,
                     NonzeroBlocks(layer, block_rows, block_cols, weight.data<float>()));
    model.kept[layer.weight] = std::make_shared<const BlockSparsePattern>(std::move(pattern));
  }
  return model;
}

}  // namespace topiary
