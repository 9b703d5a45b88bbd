// Products of rows that several taps of a kernel gather from an image, with a matrix of which only
// some blocks are kept: what a convolution is, and the gradient of its data. A product of a
// matrix's rows is the case of one tap that sees each row as it is: nothing is gathered then.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_PRODUCT_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_PRODUCT_H_

#include <cstdint>
#include <functional>

#include "worker/kernels/blocksparse/block_columns.h"
#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/blocksparse/block_strips.h"
#include "worker/kernels/blocksparse/gather.h"

namespace topiary {

// What is still to be done to rows [first, first + count) of the result, which one core has just
// made. May be empty.
using FinishRows = std::function<void(int64_t first, int64_t count)>;

// Whether to go along columns of `width` outputs (block_kernels.h), where `kept` weights are
// multiplied with what the taps see of each row.
bool GoesAlongColumns(const GatherShape& shape, int64_t width, int64_t kept,
                      const BlockKernels& kernels);

// A plan: all memory is the caller's. Thread-safe.
class GatheredProduct {
 public:
  // `columns` cover all outputs. Products along columns (block_kernels.h) want the terms' inputs
  // counted from the first channel of their tap, others from the first channel of the first tap.
  GatheredProduct(GatherShape shape, BlockColumns columns, const BlockKernels& kernels,
                  bool along_columns, int threads);

  const BlockColumns& columns() const { return columns_; }
  // The channel of x with which a term begins.
  int64_t ChannelOf(const BlockTerm& term) const {
    return along_columns_ ? term.input : term.input - term.tap * shape_.inputs;
  }

  // y = relu?(sum over taps of x W + bias) for the pixels of y that are rows; others are not
  // written. `bias` is [outputs], or null. `scratch` is scratch_floats() of memory to work in,
  // aligned to 64 bytes; what it holds before does not matter.
  int64_t scratch_floats() const;
  void Run(const float* x, const float* packed, const float* bias, bool relu, float* scratch,
           float* y, const FinishRows& finish = {}) const;

 private:
  struct Product {
    const float* x;
    const float* packed;
    const float* bias;
    bool relu;
    const float* zeros;
    float* y;
    const FinishRows& finish;
  };
  // What a thread works in.
  struct Workspace {
    const float** x;  // [taps][chunk_]
    float** y;        // [chunk_]
    float* x_panel;
    float* y_panel;
  };

  int64_t zeros_floats() const;
  int64_t table_floats() const;
  int64_t panel_floats() const;
  Workspace WorkspaceOf(float* scratch, int part) const;
  void FillTables(const Product& product, int64_t first, int64_t count,
                  const Workspace& workspace) const;
  void PackPanel(const Product& product, int64_t first, int64_t count, int64_t units,
                 const Workspace& workspace) const;
  // Asks for share `share` of `shares` of the rows that are next. Kept blocks read the lines of a
  // row in an order that no processor foresees.
  void Prefetch(const float* x, int64_t floats, int64_t share, int64_t shares) const;
  void MultiplyAlongColumns(const Product& product, int64_t first, int64_t end,
                            const ColumnRange& columns, const Workspace& workspace) const;
  // From workspace.x_panel to workspace.y_panel, of all columns.
  void MultiplyPanel(const Product& product, int64_t units, const Workspace& workspace) const;
  void MultiplyAlongRows(const Product& product, int64_t first, int64_t end,
                         const Workspace& workspace) const;

  GatherShape shape_;
  BlockColumns columns_;
  BlockStrips strips_;  // Of products along rows whose columns are one wide.
  const BlockKernels* kernels_;
  bool along_columns_;
  int threads_;
  bool gathers_nothing_;     // One tap, which sees row i at pixel i.
  int64_t chunk_ = 0;        // Rows of the tables.
  int64_t panel_units_ = 0;  // Vectors of rows of a panel.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHERED_PRODUCT_H_
