// Inner loops of the kernels that oneDNN does not have or does slowly, each
// compiled for several instruction sets and chosen at run time.
//
// All run on the calling thread, touch no byte beyond the elements they are given, and
// sum in an order that depends on the arguments and the instruction set only. Pointers
// need no alignment. A read operand may be the same memory as a written one.
#ifndef TOPIARY_WORKER_KERNELS_CPU_SIMD_KERNELS_H_
#define TOPIARY_WORKER_KERNELS_CPU_SIMD_KERNELS_H_

#include <cstdint>

#include "worker/kernels/op_description.h"
#include "worker/kernels/simd/cpu_isa.h"

namespace topiary {

// `rows` rows of `width` adjacent floats, `stride` floats apart.
struct Panel {
  int64_t rows = 0;
  int64_t width = 0;
  int64_t stride = 0;
};

// Constants of an SGD step (op_description.h).
struct SgdStep {
  float learning_rate;  // With the multiplier.
  float gradient_scale;
  float momentum;
  bool nesterov;
  float weight_decay;
};

// Constants of an Adam or AdamW step.
struct AdamStep {
  float learning_rate;  // With the multiplier.
  float gradient_scale;
  float beta1;
  float beta2;
  float epsilon;
  float weight_decay;
  bool decoupled_decay;  // AdamW.
  float bias_correction_1;
  float bias_correction_2;
};

// What an update of weights in blocks does besides.
struct BlockStep {
  // The block scale of each element: it multiplies the gradient.
  const float* scale = nullptr;
  // Some scales may be 0: those elements are left alone.
  bool masked = false;
  // Unless null, sums += value * gradient, before the update, of each element.
  float* sums = nullptr;
};

// What BatchNorm's backward pass reads at each element: the gradient is
// d_dst (+ d_dst_2 unless null), where dst is null or dst > 0, otherwise 0.
struct NormGradient {
  const float* dst;
  const float* d_dst;
  const float* d_dst_2;
};

// What LayerNorm reads of one row in either direction.
struct LayerNormRow {
  int64_t n;
  const float* src;
  float mean;
  float inverse_std;
  const float* scale;
};

struct LayerNormSums {
  double gradient = 0;
  double product = 0;
};

// Floats beyond its result that expand_scales() may write.
inline constexpr int64_t kExpandSlack = 16;

// Parameters named factor, offset, shift... have one value per column of the panel.
struct SimdKernels {
  CpuIsa isa;

  // --- Element by element.
  void (*unary_forward)(const UnaryParameters& f, int64_t n, const float* src, float* dst);
  // `from` is dst, or src where DifferentiatesFromSource().
  void (*unary_backward)(const UnaryParameters& f, int64_t n, const float* from, const float* d_dst,
                         float* d_src);
  // a_step and b_step are 1, or 0 for an operand that is one repeated number.
  void (*binary)(const BinaryParameters& f, int64_t n, const float* a, int a_step, const float* b,
                 int b_step, float* dst);

  // --- Sums.
  double (*sum)(int64_t n, const float* src);
  double (*sum_of_squares)(int64_t n, const float* src);
  // totals[column] += the sum of the column.
  void (*add_columns)(const Panel& panel, const float* src, float* totals);

  // --- BatchNorm.
  // sums[column] += sum of (src - shift), squares[column] += sum of (src - shift)^2.
  void (*norm_moments)(const Panel& panel, const float* src, const float* shift, float* sums,
                       float* squares);
  // dst = relu?(src * factor + offset (+ residual unless null)).
  void (*norm_apply)(const Panel& panel, const float* src, const float* factor, const float* offset,
                     const float* residual, bool relu, float* dst);
  // sums[column] += sum of the gradient, products[column] += sum of gradient * (src - mean).
  // Stores the gradient in `gradient` unless that is null.
  void (*norm_backward_sums)(const Panel& panel, const float* src, const NormGradient& g,
                             const float* mean, float* sums, float* products, float* gradient);
  // d_src = gradient * factor + (src - mean) * slope + offset.
  void (*norm_backward_apply)(const Panel& panel, const float* src, const NormGradient& g,
                              const float* mean, const float* factor, const float* slope,
                              const float* offset, float* d_src);

  // --- LayerNorm, one row of n elements at a time.
  // The sum of (src - shift)^2.
  double (*sum_of_squared_distances)(int64_t n, const float* src, float shift);
  // dst = (src - mean) * inverse_std * scale + bias; bias may be null.
  void (*layer_norm_apply)(const LayerNormRow& row, const float* bias, float* dst);
  // d_scale += d_dst * x and d_bias (unless null) += d_dst, where x = (src - mean) * inverse_std.
  // Returns the sums over the row of d_dst * scale and of d_dst * scale * x.
  LayerNormSums (*layer_norm_backward_sums)(const LayerNormRow& row, const float* d_dst,
                                            float* d_scale, float* d_bias);
  // d_src = inverse_std * (d_dst * scale - offset - x * slope).
  void (*layer_norm_backward_apply)(const LayerNormRow& row, const float* d_dst, float offset,
                                    float slope, float* d_src);

  // --- Softmax.
  float (*max)(int64_t n, const float* src);  // n >= 1.
  // dst = exp(src - shift); returns the sum of dst. dst may be null.
  float (*exp_shifted)(int64_t n, const float* src, float shift, float* dst);
  // d_src = dst * (d_dst - <dst, d_dst>), of one row. d_dst may be d_src.
  void (*softmax_backward)(int64_t n, const float* dst, const float* d_dst, float* d_src);

  // --- Parameters. `blocks` may be null.
  void (*sgd)(const SgdStep& step, const BlockStep* blocks, int64_t n, float* value,
              const float* gradient, float* momentum);
  void (*adam)(const AdamStep& step, const BlockStep* blocks, int64_t n, float* value,
               const float* gradient, float* first, float* second);
  // dst[i] = block_scale[block of element origin + i] for the elements of `runs`; returns whether
  // one is 0. May write kExpandSlack floats beyond the last of them.
  bool (*expand_scales)(const BlockRun* runs, int64_t count, const float* block_scale,
                        int64_t origin, float* dst);
  // sums += a * b.
  void (*add_products)(int64_t n, const float* a, const float* b, float* sums);
  // totals[block of run] += the sum of the run's elements; src[0] is element `origin`.
  void (*sum_runs)(const BlockRun* runs, int64_t count, int64_t origin, const float* src,
                   float* totals);
};

// The kernels for `isa`, which this processor must have.
const SimdKernels& SimdKernelsFor(CpuIsa isa);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_SIMD_KERNELS_H_
