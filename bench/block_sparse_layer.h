// Benchmark "block-sparse-layer": one layer with some of its blocks beside the dense one.
#ifndef TOPIARY_BENCH_BLOCK_SPARSE_LAYER_H_
#define TOPIARY_BENCH_BLOCK_SPARSE_LAYER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/rows.h"

namespace topiary {

struct BlockSparseLayerOptions {
  int threads = 2;
  int pairs = 9;
  double seconds_per_side = 0.02;  // Of each of a pair.
  int64_t size = 1024;             // Inputs and outputs of the layer.
  // "matrix", "convolution".
  std::vector<std::string> kinds = {"matrix", "convolution"};
};

// For each block shape, density and number of batch rows a row "<rows>x<cols>/<density>/<batch>":
// the dense product by oneDNN (as peer) over the block-sparse one, plain row-major operands on both
// sides, so that changes of layout count. At 256 rows also "data_gradient/..." and
// "weight_gradient/...", beside the dense gradients. Then a row "<rows>x<cols>/efficiency" for each
// shape: the median over its forward cells of speed-up times density, where 1 is to lose nothing.
// Then the convolutions of ResNet-50 (convolution_layers.h).
// FAILED_PRECONDITION where both sides compute different numbers.
absl::StatusOr<BenchmarkRun> RunBlockSparseLayer(const BlockSparseLayerOptions& options);

}  // namespace topiary

#endif  // TOPIARY_BENCH_BLOCK_SPARSE_LAYER_H_
