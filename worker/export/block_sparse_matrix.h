// A pruned weight as its surviving blocks: the layout of PyTorch's torch.sparse_bsr_tensor.
#ifndef TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_MATRIX_H_
#define TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Where the matrix of a weight lies in the tensor as it is stored, and how it is cut. Each weight
// keeps its own orientation: a Linear [out, in] is cut in blocks of cols x rows (rows run along K =
// in, cols along out), a MatMul [in, out] in blocks of rows x cols. A convolution [out, in, kh, kw]
// is the matrix [out, kh * kw * in], its axes permuted by [0, 2, 3, 1]. Matrices of several groups
// stand below one another, each padded for itself.
struct BlockSparseLayout {
  Shape dense_shape;             // Of the tensor as stored in the dense model.
  std::vector<int> permutation;  // Axes of the tensor in the order the matrix reads them.
  int64_t groups = 1;
  // Of one group, in the stored orientation: without and with padding, and the block.
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t block_rows = 0;
  int64_t block_cols = 0;

  int64_t row_blocks() const { return (rows + block_rows - 1) / block_rows; }
  int64_t col_blocks() const { return (cols + block_cols - 1) / block_cols; }
  // [rows of all groups, cols].
  Shape shape() const { return Shape({groups * rows, cols}); }
  Shape padded_shape() const {
    return Shape({groups * row_blocks() * block_rows, col_blocks() * block_cols});
  }
};

// The layout of the weight that `partition` cuts.
BlockSparseLayout LayoutOf(const BlockPartition& partition);

// INVALID_ARGUMENT where extents, groups and permutation of `layout` do not describe a matrix of
// dense_shape's elements. For layouts read from a file: afterwards all products fit.
absl::Status ValidateLayout(const BlockSparseLayout& layout);

// Row `i` of blocks (of all groups) has the blocks crow_indices[i] to crow_indices[i + 1] - 1, at
// block columns col_indices, rising within a row.
struct BlockSparseMatrix {
  BlockSparseLayout layout;
  Tensor values;        // float32 [live blocks, block_rows, block_cols], edges padded with 0.
  Tensor crow_indices;  // int32 [groups * row_blocks + 1].
  Tensor col_indices;   // int32 [live blocks].
};

// The blocks of `weight` (float32, stored as in the model) that are live in `support`.
// INTERNAL where a block that is not live has an element other than +0, which would be lost.
absl::StatusOr<BlockSparseMatrix> EncodeBlocks(const BlockPartition& partition,
                                               const Support& support, const Tensor& weight);

// The dense weight, bit for bit what was encoded. The layout was validated; INVALID_ARGUMENT where
// indices are out of range or order, shapes do not agree, or the padding is not 0.
absl::StatusOr<Tensor> DecodeBlocks(const BlockSparseMatrix& matrix);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_BLOCK_SPARSE_MATRIX_H_
