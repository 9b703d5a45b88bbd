// Convolutions with weights of which only some blocks are kept, and the gradients of both operands.
// The work is proportional to the blocks kept. Single precision, channels last.
//
// Threads of OpenMP; results depend on the arguments, the instruction set and the number of threads
// alone, so that a run repeats its bits.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_CONVOLUTION_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_CONVOLUTION_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/blocksparse/gathered_product.h"
#include "worker/kernels/blocksparse/gathered_weight_gradient.h"

namespace topiary {

struct ConvolutionAxis {
  int64_t src = 1;
  int64_t dst = 1;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad = 0;  // Before the first pixel of src.
};

// Over two axes; a convolution of one axis has a height of 1.
struct ConvolutionShape {
  int64_t batch = 1;
  int64_t groups = 1;
  int64_t src_channels = 1;  // Of all groups.
  int64_t dst_channels = 1;
  ConvolutionAxis height;
  ConvolutionAxis width;

  int64_t taps() const { return height.kernel * width.kernel; }
};

// dst = relu?(src * W + bias), or d_src from d_dst. Activations are [batch, height, width,
// channels]; W is as ONNX stores it, [dst channels, src channels of a group, kernel], of which
// `pattern` keeps blocks of the matrices [kernel * src channels, dst channels] of the groups.
//
// A plan: all memory is the caller's. Thread-safe.
class BlockSparseConvolution {
 public:
  // INVALID_ARGUMENT where there is nothing to compute, threads are below 1, or the pattern is of
  // another weight. `isa` must be one that the processor has.
  static absl::StatusOr<BlockSparseConvolution> Forward(const BlockSparsePattern& pattern,
                                                        const ConvolutionShape& shape, CpuIsa isa,
                                                        int threads);
  static absl::StatusOr<BlockSparseConvolution> DataGradient(const BlockSparsePattern& pattern,
                                                             const ConvolutionShape& shape,
                                                             CpuIsa isa, int threads);

  // Copies the kept blocks to `packed`, packed_floats() of them, in the order in which products
  // read them. Weights outside them are never read.
  int64_t packed_floats() const;
  void Pack(const float* weights, float* packed) const;

  // Whether what `other` packs can be used by this plan, which may be for another batch.
  bool PacksLike(const BlockSparseConvolution& other) const;

  // From x (src, or d_dst) to y (dst, or d_src). `bias` is [channels of y], or null. `scratch` is
  // scratch_floats() of memory to work in, aligned to 64 bytes; what it holds before does not
  // matter.
  int64_t scratch_floats() const;
  void Run(const float* x, const float* packed, const float* bias, bool relu, float* scratch,
           float* y) const;

 private:
  // A product for some of the pixels of y. The gradient of the data has one for each way in which
  // the taps of a strided convolution can meet a pixel.
  struct Part {
    GatheredProduct product;
    std::vector<int64_t> taps;  // Of the kernel, by the product's own number.
  };

  BlockSparseConvolution(const ConvolutionShape& shape, bool forward, int threads)
      : shape_(shape), forward_(forward), threads_(threads) {}
  void AddForward(const BlockSparsePattern& pattern, const BlockKernels& kernels);
  void AddDataGradient(const BlockSparsePattern& pattern, const BlockKernels& kernels,
                       int64_t height_phase, int64_t width_phase);
  MatrixView BlockAt(const Part& part, const float* weights, const BlockTerm& term,
                     int64_t output) const;

  ConvolutionShape shape_;
  bool forward_;
  int threads_;
  std::vector<Part> parts_;
};

// The gradient of the kept blocks of such a weight, from src and d_dst.
//
// A plan: all memory is the caller's. Thread-safe.
class BlockSparseKernelGradient {
 public:
  // As BlockSparseConvolution::Forward().
  static absl::StatusOr<BlockSparseKernelGradient> Create(const BlockSparsePattern& pattern,
                                                          const ConvolutionShape& shape, CpuIsa isa,
                                                          int threads);

  // Writes the kept blocks of `d_weights`, and nothing else. `scratch` is scratch_floats() of
  // memory to work in, aligned to 64 bytes; what it holds before does not matter.
  int64_t scratch_floats() const { return gradient_.scratch_floats(); }
  void Run(const float* src, const float* d_dst, float* d_weights, float* scratch) const;

 private:
  BlockSparseKernelGradient(const ConvolutionShape& shape, GatheredWeightGradient gradient)
      : shape_(shape), gradient_(std::move(gradient)) {}

  ConvolutionShape shape_;
  GatheredWeightGradient gradient_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_SPARSE_CONVOLUTION_H_
