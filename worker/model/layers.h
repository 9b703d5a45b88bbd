// The weights that pruning can see, each as one or more matrices.
#ifndef TOPIARY_WORKER_MODEL_LAYERS_H_
#define TOPIARY_WORKER_MODEL_LAYERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/model/graph.h"
#include "worker/tensor/shape.h"

namespace topiary {

enum class LayerKind { kGemm, kMatMul, kConv };

// "Gemm", "MatMul" or "Conv".
const char* LayerKindName(LayerKind kind);

// One weight tensor of a Gemm, MatMul or Conv, seen as `groups` matrices of
// `rows` x `cols`: rows run along K, the inputs of the product, cols along its
// outputs. For a convolution K is (kh, kw, in), in that order, so that rows =
// kh * kw * in_channels / groups and cols = out_channels / groups
// (Yasuda et al. 2023, SequentialAttention++). A grouped convolution has one
// matrix per group; a MatMul of a stack of matrices has one per matrix.
//
// A value type; thread-compatible.
struct PrunableLayer {
  std::string weight;  // Name of the initializer; unique among layers.
  LayerKind kind = LayerKind::kGemm;
  // Indices into Graph::nodes of every node that uses the weight, ascending.
  // Several where a weight is shared: it is still one layer, seen as the first
  // node sees it.
  std::vector<int> nodes;
  std::string node_name;  // Of nodes[0]; may be empty.
  Shape shape;            // As stored.
  int64_t groups = 1;
  int64_t rows = 0;
  int64_t cols = 0;
  // True where the stored order of a matrix is [cols][rows] (Gemm with transB=1,
  // MatMul with a Transpose of the weight, Conv), false where it is [rows][cols].
  bool transposed = false;

  // Where element (group, row, col) lies in the stored tensor, in elements.
  // row = spatial * in_extent + in.
  int64_t in_extent = 1;
  int64_t group_stride = 0;
  int64_t spatial_stride = 0;
  int64_t in_stride = 0;
  int64_t col_stride = 0;
  int64_t Offset(int64_t group, int64_t row, int64_t col) const {
    return group * group_stride + (row / in_extent) * spatial_stride +
           (row % in_extent) * in_stride + col * col_stride;
  }

  int64_t element_count() const { return groups * rows * cols; }
};

// Every weight of `graph` that is a float32 initializer and an operand of a
// Gemm, MatMul (either side) or Conv (its kernel, not its bias), in the order of
// the first node that uses it. Empty if there is none.
std::vector<PrunableLayer> FindPrunableLayers(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_LAYERS_H_
