// The convolutions of ResNet-50 with some of their blocks beside the dense ones: rows of the
// benchmark "block-sparse-layer".
#ifndef TOPIARY_BENCH_CONVOLUTION_LAYERS_H_
#define TOPIARY_BENCH_CONVOLUTION_LAYERS_H_

#include "absl/status/status.h"
#include "bench/block_sparse_layer.h"
#include "bench/rows.h"
#include "worker/kernels/backend.h"

namespace topiary {

// Adds to `run`, whose peaks are measured, for each layer, block shape and density a row
// "<kernel>x<kernel>_<in>_<out>_<pixels>[_strided]/<rows>x<cols>/<density>": the dense convolution
// by oneDNN (as peer) over the block-sparse one, each in the layout that it likes best, which its
// neighbours share. Then, for each block shape, "convolutions/<rows>x<cols>/efficiency", the median
// of speed-up times density, and ".../of_limit", the median of how near our time comes to what is
// possible: the dense one times density, or what reading the input and writing the output once
// takes, whichever is longer. FAILED_PRECONDITION where both sides compute different numbers.
absl::Status RunConvolutionLayers(const BlockSparseLayerOptions& options, Backend* backend,
                                  BenchmarkRun* run);

}  // namespace topiary

#endif  // TOPIARY_BENCH_CONVOLUTION_LAYERS_H_
