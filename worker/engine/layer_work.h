// The products of one layer, as a backend is asked for them: what block-sparse kernels may take
// over from dense ones.
#ifndef TOPIARY_WORKER_ENGINE_LAYER_WORK_H_
#define TOPIARY_WORKER_ENGINE_LAYER_WORK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/op_description.h"
#include "worker/model/graph.h"
#include "worker/model/layers.h"
#include "worker/model/op_params.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// ONNX's attributes of a Conv in the words of the kernels; without bias or fusion.
ConvolutionParameters ConvolutionParametersOf(const ConvParams& params);

// kInference: the forward product, with weights that were laid out once. kTraining: also the
// gradients of the data and of the weights, which change with each step.
enum class LayerUse { kInference, kTraining };

// A Gemm, MatMul or Conv at one batch size. A value type; thread-compatible.
struct LayerWork {
  LayerUse use = LayerUse::kInference;
  LayerKind kind = LayerKind::kGemm;
  // One matrix [rows, cols] for each group, cut in blocks.
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t groups = 1;
  int64_t block_rows = 0;
  int64_t block_cols = 0;
  bool transposed = false;            // A matrix is stored [cols][rows].
  ConvolutionParameters convolution;  // kConv.
  Shape src;                          // [rows of the product, inputs]; kConv: [n, c, spatial].
  Shape weights;                      // As stored.
  Shape dst;

  // The same text for the same work, and only for that.
  std::string Key() const;
};

// Whether kernels can leave out blocks of this weight, where activations stand on its left: it is
// that of one node, and not of a stack of matrices.
bool HasSkippableBlocks(const PrunableLayer& layer);

// What `layer` of `graph` does with the shapes of `inferred`. None where kernels cannot leave out
// blocks of it. Errors as those of shape inference.
absl::StatusOr<std::optional<LayerWork>> WorkOf(const Graph& graph, const InferredGraph& inferred,
                                                const PrunableLayer& layer, LayerUse use,
                                                int64_t block_rows, int64_t block_cols);

// The products of `work` for a backend: all dense where `pattern` is null, else without its pruned
// blocks. The same operands in the same order for either.
std::vector<OpDescription> ProductsOf(const LayerWork& work,
                                      const std::shared_ptr<const BlockSparsePattern>& pattern);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LAYER_WORK_H_
