// The columns of blocks of a product, and where the kept blocks lie when they are packed.
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_COLUMNS_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_COLUMNS_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "worker/kernels/blocksparse/block_kernels.h"

namespace topiary {

// A matrix of weights as the caller has it: element (row, col) lies at
// data[row * row_stride + col * col_stride]. [in, out] as stored by MatMul, or [out, in] as by Gemm
// with transB, are the same to products.
struct MatrixView {
  const float* data = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
};
struct MutableMatrixView {
  float* data = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
};

// Parts of scratch memory begin at multiples of so many floats: a cache line.
constexpr int64_t kLineFloats = 16;

// Floats of the rows of x and y that one pass works on: about half of a core's second cache.
constexpr int64_t kChunkFloats = 1 << 16;

// Every tile's number of rows divides this.
constexpr int64_t kChunkUnit = 24;

inline int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Whole lines that so many pointers take.
inline int64_t FloatsOfPointers(int64_t count) {
  return RoundUp(count * static_cast<int64_t>(sizeof(void*) / sizeof(float)), kLineFloats);
}

// How many items of a loop over `items`, together `multiplications`, are worth a thread.
int64_t GrainOf(int64_t items, int64_t multiplications);

// Units of the next panel, where `left` are still to come: the most there may be, but rather two
// halves than a last one of one unit.
inline int64_t NextUnits(int64_t left, int64_t most) {
  return left == most + 1 ? (left + 1) / 2 : std::min(left, most);
}

// Block columns [begin, end).
struct ColumnRange {
  int64_t begin;
  int64_t end;
};

// A block to copy, whose rows and columns lie apart on both sides.
struct BlockCopy {
  int64_t rows;
  int64_t cols;
  int64_t from_row_stride;
  int64_t from_col_stride;
  int64_t to_row_stride;
  int64_t to_col_stride;
};

// to = factor * from.
void CopyTimes(const BlockCopy& copy, float factor, const float* from, float* to);

// A value type: filled once, then only read.
class BlockColumns {
 public:
  // A column of `width` outputs from `output` on, of which the packed weights of an input take
  // `stride` floats.
  void AddColumn(int64_t output, int64_t width, int64_t stride);
  // A kept block of the last column, after those it has.
  void AddTerm(int64_t tap, int64_t input, int64_t depth);

  int64_t size() const { return static_cast<int64_t>(columns_.size()); }
  int64_t output(int64_t j) const { return columns_[j].output; }
  int64_t widest() const { return widest_; }
  // Terms [first_term(j), first_term(j + 1)) are those of column j.
  int64_t first_term(int64_t j) const {
    return j < size() ? columns_[j].first_term : static_cast<int64_t>(terms_.size());
  }
  const BlockTerm& term(int64_t index) const { return terms_[index]; }
  // Packs the terms from `first` on in another order: `order` names each of them once.
  void PlaceInOrder(int64_t first, const std::vector<int64_t>& order);
  // Column j as the kernels take it; `bias` is that of all outputs, or null.
  BlockColumn At(int64_t j, const float* bias, bool relu) const;

  // Of all blocks when they are packed, and what kernels may read beyond them.
  int64_t packed_floats() const { return packed_floats_ + kLineFloats; }
  // About what a row costs, in multiplications.
  int64_t cost() const { return cost_.back(); }
  // The columns of part `part` of `parts`, each of about the same cost.
  ColumnRange Share(int part, int parts) const;

  // Copies the kept blocks, times `factor`, to `packed`, in the order in which products read them.
  // `block_at` tells where the block of a term in the column of an output lies; nothing else is
  // read.
  void Pack(const std::function<MatrixView(const BlockTerm&, int64_t output)>& block_at,
            float factor, int threads, float* packed) const;

  // Whether both pack the same blocks to the same places.
  friend bool operator==(const BlockColumns& a, const BlockColumns& b);

 private:
  struct Column {
    int64_t output;
    int64_t width;
    int64_t stride;
    int64_t first_term;
    int64_t end_term;
  };

  std::vector<Column> columns_;
  std::vector<BlockTerm> terms_;
  std::vector<int64_t> cost_ = {0};  // Of the columns before each.
  int64_t packed_floats_ = 0;
  int64_t widest_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_BLOCK_COLUMNS_H_
