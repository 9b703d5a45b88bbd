// Inner loops of products with a matrix of which only some blocks are kept, each compiled for
// several instruction sets and chosen at run time.
//
// All run on the calling thread, touch no byte beyond the elements they are given, and sum in an
// order that depends on the arguments and the instruction set only. Pointers need no alignment. The
// one exception: up to a vector is read beyond packed weights, and not used (gcc joins the loads of
// two inputs where a column is two wide, and does so after the last input too).
//
// Two ways to multiply. Along columns: a vector holds neighbouring outputs of one row, and each
// number of the row is broadcast; this suits wide blocks, and few rows. Along rows: a vector holds
// one output of neighbouring rows, and each weight is broadcast; this suits blocks narrower than
// vectors, and wants the rows in panels. Sums stay in registers until they are done, but for
// columns one output wide, where inputs do.
//
// A panel is the transpose of some rows, as many as `units` vectors have lanes: element f of row r
// lies at [f * units * lanes + r]. Rows beyond the last one are 0.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_KERNELS_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_KERNELS_H_

#include <cstdint>

#include "worker/kernels/simd/cpu_isa.h"

namespace topiary {

// A kept block, or a part of it: it multiplies the inputs [input, input + depth) of tap `tap`. Its
// weights lie at `weights` of the packed ones, as [depth][BlockColumn::stride].
struct BlockTerm {
  int64_t input = 0;
  int64_t depth = 0;
  int64_t weights = 0;
  int64_t tap = 0;  // Of a convolution's kernel; 0 in products with a matrix.
};

// Rows that lie anywhere, as those that the taps of a convolution's kernel see.
struct GatheredRows {
  // Row r as tap t sees it is at x[t * tap_stride + r].
  const float* const* x = nullptr;
  int64_t tap_stride = 0;
  // Row r of the result is at y[r].
  float* const* y = nullptr;
  int64_t count = 0;
};

// `width` neighbouring outputs and the kept blocks that they are sums of:
// output = relu?(bias + sum over terms, inputs of input * weight).
struct BlockColumn {
  const BlockTerm* terms = nullptr;
  int64_t term_count = 0;
  int64_t width = 0;
  // Floats from one input's weights to the next's: `width`, rounded up to vectors for products
  // along columns.
  int64_t stride = 0;
  const float* bias = nullptr;  // [width], or null.
  bool relu = false;
};

// What the same inputs contribute to some single outputs.
struct BlockStrip {
  int64_t input = 0;  // As of BlockTerm.
  int64_t depth = 0;  // A power of two, at most BlockKernels::strip_depth.
  // The weights of entry i, [depth], are at `weights` + i * stride of the packed ones, and its
  // output is BlockTile::outputs[first_output + i].
  int64_t weights = 0;
  int64_t stride = 0;
  int64_t first_output = 0;
  int64_t count = 0;
};

// Outputs [output, output + width), to which strips add.
struct BlockTile {
  const BlockStrip* strips = nullptr;
  int64_t strip_count = 0;
  const int32_t* outputs = nullptr;
  int64_t output = 0;
  int64_t width = 0;
  const float* bias = nullptr;  // [width], or null.
  bool relu = false;
};

// The largest number of vectors that a panel is high.
constexpr int64_t kMaxPanelUnits = 3;

struct BlockKernels {
  CpuIsa isa;
  int64_t lanes;
  int64_t strip_depth;  // The largest of a strip.

  // Along columns: y[r * y_stride + c] of rows r in [0, rows) of x, which are x_stride apart.
  // `column.stride` is a multiple of `lanes`, and the weights beyond `width` are 0.
  void (*multiply_rows)(const BlockColumn& column, const float* weights, const float* x,
                        int64_t x_stride, int64_t rows, float* y, int64_t y_stride);

  // The same of rows that lie anywhere; the outputs go to y[r] + output.
  void (*multiply_gathered)(const BlockColumn& column, const float* weights,
                            const GatheredRows& rows, int64_t output);

  // Along rows, from a panel of all inputs to the outputs' part of a panel. `units` is in
  // [1, kMaxPanelUnits].
  void (*multiply_panel)(const BlockColumn& column, const float* weights, const float* x_panel,
                         int64_t units, float* y_panel);

  // The same of columns one wide, from a panel of all inputs to one of all outputs. A number of a
  // panel then serves one multiplication: inputs stay in registers while the sums pass by, instead
  // of the other way round.
  void (*multiply_strips)(const BlockTile& tile, const float* weights, const float* x_panel,
                          int64_t units, float* y_panel);

  // Rows of `features` floats each into a panel of `units` vectors, and back. `rows` is at most
  // units * lanes.
  void (*pack_panel)(const float* x, int64_t stride, int64_t rows, int64_t features, int64_t units,
                     float* panel);
  void (*unpack_panel)(const float* panel, int64_t units, int64_t rows, int64_t features, float* y,
                       int64_t stride);

  // The same of rows that lie anywhere: row r at x[r], of which features [first, first + features)
  // are taken, or at y[r].
  void (*pack_gathered_panel)(const float* const* x, int64_t first, int64_t rows, int64_t features,
                              int64_t units, float* panel);
  void (*unpack_gathered_panel)(const float* panel, int64_t units, int64_t rows, int64_t features,
                                float* const* y);

  // The gradient of a block, along columns: d_w[k * d_w_stride + c] += sum over n in [0, rows) of
  // x[n * x_stride + k] * d_y[n * d_y_stride + c], for k in [0, depth). d_y and d_w are read and
  // written up to `width` rounded up to whole vectors.
  void (*add_outer_products)(const float* x, int64_t x_stride, const float* d_y, int64_t d_y_stride,
                             int64_t rows, int64_t depth, int64_t width, float* d_w,
                             int64_t d_w_stride);

  // The same along rows, from panels of `height` rows, a multiple of `lanes`:
  // d_w[k * d_w_stride + c] += sum over n of x[k * height + n] * d_y[c * height + n].
  void (*add_dot_products)(const float* x, const float* d_y, int64_t height, int64_t depth,
                           int64_t width, float* d_w, int64_t d_w_stride);
};

// Those of `isa`, which the processor must have.
const BlockKernels& BlockKernelsFor(CpuIsa isa);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_KERNELS_H_
