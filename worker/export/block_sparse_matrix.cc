#include "worker/export/block_sparse_matrix.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Offsets into the stored tensor by (group, row, col) of the matrix, for any permutation: the axes
// before `groups * rows` elements form the rows, the others the columns.
class ElementOffsets {
 public:
  explicit ElementOffsets(const BlockSparseLayout& layout) : layout_(layout) {
    const Shape::Dims strides = layout.dense_shape.Strides();
    // Walks the permuted axes from the last: offset of permuted linear index.
    for (const int axis : layout.permutation) {
      extents_.push_back(layout.dense_shape[axis]);
      strides_.push_back(strides[axis]);
    }
  }

  int64_t operator()(int64_t group, int64_t row, int64_t col) const {
    int64_t linear = (group * layout_.rows + row) * layout_.cols + col;
    int64_t offset = 0;
    for (size_t i = extents_.size(); i-- > 0;) {
      offset += linear % extents_[i] * strides_[i];
      linear /= extents_[i];
    }
    return offset;
  }

 private:
  const BlockSparseLayout& layout_;
  std::vector<int64_t> extents_;
  std::vector<int64_t> strides_;
};

// A block of the stored orientation, as its place and the number BlockPartition gives it.
struct Place {
  int64_t group;
  int64_t row_block;
  int64_t col_block;
};

int64_t PartitionBlock(const BlockPartition& partition, const Place& at) {
  const bool transposed = partition.layer().transposed;
  const int64_t block_row = transposed ? at.col_block : at.row_block;
  const int64_t block_col = transposed ? at.row_block : at.col_block;
  return (at.group * partition.block_rows() + block_row) * partition.block_cols() + block_col;
}

// Calls visit(offset in the tensor, offset in the padded block) for each element of a block.
template <typename Visit>
void ForEachElement(const BlockSparseLayout& layout, const ElementOffsets& offsets, const Place& at,
                    const Visit& visit) {
  const int64_t row = at.row_block * layout.block_rows;
  const int64_t col = at.col_block * layout.block_cols;
  const int64_t rows = std::min(layout.block_rows, layout.rows - row);
  const int64_t cols = std::min(layout.block_cols, layout.cols - col);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      visit(offsets(at.group, row + r, col + c), r * layout.block_cols + c);
    }
  }
}

bool IsPlusZero(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits == 0;
}

// Every live block in the order of the file; `crow` gets the row pointers.
std::vector<Place> LivePlaces(const BlockPartition& partition, const BlockSparseLayout& layout,
                              const Support& support, std::vector<int32_t>* crow) {
  std::vector<Place> live;
  crow->push_back(0);
  for (int64_t group = 0; group < layout.groups; ++group) {
    for (int64_t row = 0; row < layout.row_blocks(); ++row) {
      for (int64_t col = 0; col < layout.col_blocks(); ++col) {
        const Place at{group, row, col};
        if (support[PartitionBlock(partition, at)] != 0) live.push_back(at);
      }
      crow->push_back(static_cast<int32_t>(live.size()));
    }
  }
  return live;
}

absl::Status CheckNothingIsLost(const BlockPartition& partition, const Support& support,
                                const Tensor& weight) {
  const float* values = weight.data<float>();
  for (const BlockRun& run : partition.runs()->runs) {
    if (run.block_step == 0 && support[run.block] != 0) continue;
    for (int32_t i = 0; i < run.length; ++i) {
      if (support[run.BlockOf(i)] == 0 && !IsPlusZero(values[run.At(i)])) {
        return absl::InternalError(absl::StrCat("weight '", partition.layer().weight, "': block ",
                                                run.BlockOf(i), " is pruned but not zero"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("block-sparse matrix: ", what));
}

absl::Status CheckShapes(const BlockSparseMatrix& matrix) {
  const BlockSparseLayout& layout = matrix.layout;
  const int64_t live = matrix.col_indices.element_count();
  if (matrix.values.dtype() != DType::kFloat32 ||
      matrix.values.shape() != Shape({live, layout.block_rows, layout.block_cols})) {
    return Malformed(absl::StrCat("values are ", DTypeName(matrix.values.dtype()),
                                  matrix.values.shape().ToString(), ", not float32[", live, ",",
                                  layout.block_rows, ",", layout.block_cols, "]"));
  }
  if (matrix.col_indices.dtype() != DType::kInt32 || matrix.col_indices.shape().rank() != 1 ||
      matrix.crow_indices.dtype() != DType::kInt32 ||
      matrix.crow_indices.shape() != Shape({layout.groups * layout.row_blocks() + 1})) {
    return Malformed("crow_indices and col_indices are not int32 vectors of the right length");
  }
  return absl::OkStatus();
}

absl::Status CheckIndices(const BlockSparseMatrix& matrix) {
  const absl::Span<const int32_t> crow = matrix.crow_indices.span<int32_t>();
  const absl::Span<const int32_t> col = matrix.col_indices.span<int32_t>();
  if (crow.front() != 0 || crow.back() != static_cast<int64_t>(col.size())) {
    return Malformed("crow_indices do not run from 0 to the number of blocks");
  }
  for (size_t row = 0; row + 1 < crow.size(); ++row) {
    if (crow[row + 1] < crow[row] || crow[row + 1] > crow.back()) {
      return Malformed(absl::StrCat("crow_indices fall at row ", row));
    }
    for (int32_t i = crow[row]; i < crow[row + 1]; ++i) {
      const bool rises = i == crow[row] || col[i] > col[i - 1];
      if (col[i] < 0 || col[i] >= matrix.layout.col_blocks() || !rises) {
        return Malformed(absl::StrCat("col_indices[", i, "] = ", col[i],
                                      " is out of range or order in row ", row));
      }
    }
  }
  return absl::OkStatus();
}

bool PaddingIsZero(const BlockSparseLayout& layout, const Place& at, const float* block) {
  const int64_t rows = layout.rows - at.row_block * layout.block_rows;
  const int64_t cols = layout.cols - at.col_block * layout.block_cols;
  for (int64_t r = 0; r < layout.block_rows; ++r) {
    for (int64_t c = 0; c < layout.block_cols; ++c) {
      if ((r >= rows || c >= cols) && !IsPlusZero(block[r * layout.block_cols + c])) return false;
    }
  }
  return true;
}

}  // namespace

BlockSparseLayout LayoutOf(const BlockPartition& partition) {
  const PrunableLayer& layer = partition.layer();
  BlockSparseLayout layout;
  layout.dense_shape = layer.shape;
  const int rank = layer.shape.rank();
  for (int axis = 0; axis < rank; ++axis) layout.permutation.push_back(axis);
  if (layer.kind == LayerKind::kConv) {
    // [out, in, spatial...] is read as [out, spatial..., in].
    std::rotate(layout.permutation.begin() + 1, layout.permutation.begin() + 2,
                layout.permutation.end());
  }
  layout.groups = layer.groups;
  const bool t = layer.transposed;
  layout.rows = t ? layer.cols : layer.rows;
  layout.cols = t ? layer.rows : layer.cols;
  layout.block_rows = t ? partition.block().cols : partition.block().rows;
  layout.block_cols = t ? partition.block().rows : partition.block().cols;
  return layout;
}

absl::Status ValidateLayout(const BlockSparseLayout& layout) {
  // Any extent is below 2^31 and the dense tensor below 2^40 elements, so that nothing overflows.
  constexpr int64_t kMaxExtent = std::numeric_limits<int32_t>::max();
  ASSIGN_OR_RETURN(const int64_t elements,
                   layout.dense_shape.CheckedElementCount(int64_t{1} << 40));
  for (const int64_t extent :
       {layout.groups, layout.rows, layout.cols, layout.block_rows, layout.block_cols}) {
    if (extent < 1 || extent > kMaxExtent) {
      return Malformed(absl::StrCat("an extent of ", extent, " is out of range"));
    }
  }
  std::vector<int> sorted = layout.permutation;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<int>(i)) return Malformed("permutation is not one");
  }
  if (static_cast<int>(sorted.size()) != layout.dense_shape.rank()) {
    return Malformed("permutation does not fit the dense shape");
  }
  if (layout.rows > elements || layout.groups > elements / layout.rows ||
      layout.groups * layout.rows > elements / layout.cols ||
      layout.groups * layout.rows * layout.cols != elements) {
    return Malformed(absl::StrCat("shape [", layout.groups, " x ", layout.rows, ",", layout.cols,
                                  "] has not the elements of dense shape ",
                                  layout.dense_shape.ToString()));
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockSparseMatrix> EncodeBlocks(const BlockPartition& partition,
                                               const Support& support, const Tensor& weight) {
  CHECK_EQ(static_cast<int64_t>(support.size()), partition.block_count());
  CHECK(weight.shape() == partition.layer().shape) << "weight " << partition.layer().weight;
  RETURN_IF_ERROR(CheckNothingIsLost(partition, support, weight));
  BlockSparseMatrix matrix;
  matrix.layout = LayoutOf(partition);
  const BlockSparseLayout& layout = matrix.layout;
  std::vector<int32_t> crow;
  const std::vector<Place> live = LivePlaces(partition, layout, support, &crow);
  const auto count = static_cast<int64_t>(live.size());
  matrix.values = Tensor(DType::kFloat32, Shape({count, layout.block_rows, layout.block_cols}));
  matrix.col_indices = Tensor(DType::kInt32, Shape({count}));
  const int64_t crow_count = static_cast<int64_t>(crow.size());
  matrix.crow_indices = Tensor::FromVector(Shape({crow_count}), crow);

  const ElementOffsets offsets(layout);
  const float* src = weight.data<float>();
  float* block = matrix.values.data<float>();
  for (int64_t i = 0; i < count; ++i) {
    matrix.col_indices.data<int32_t>()[i] = static_cast<int32_t>(live[i].col_block);
    ForEachElement(layout, offsets, live[i],
                   [&](int64_t from, int64_t to) { block[to] = src[from]; });
    block += layout.block_rows * layout.block_cols;
  }
  return matrix;
}

absl::StatusOr<Tensor> DecodeBlocks(const BlockSparseMatrix& matrix) {
  const BlockSparseLayout& layout = matrix.layout;
  RETURN_IF_ERROR(CheckShapes(matrix));
  RETURN_IF_ERROR(CheckIndices(matrix));
  Tensor weight(DType::kFloat32, layout.dense_shape);
  float* dst = weight.data<float>();
  const ElementOffsets offsets(layout);
  const absl::Span<const int32_t> crow = matrix.crow_indices.span<int32_t>();
  const float* block = matrix.values.data<float>();
  for (size_t row = 0; row + 1 < crow.size(); ++row) {
    for (int32_t i = crow[row]; i < crow[row + 1]; ++i) {
      const auto row_index = static_cast<int64_t>(row);
      const Place at{row_index / layout.row_blocks(), row_index % layout.row_blocks(),
                     matrix.col_indices.data<int32_t>()[i]};
      if (!PaddingIsZero(layout, at, block)) {
        return Malformed(absl::StrCat("block ", i, " has padding that is not 0"));
      }
      ForEachElement(layout, offsets, at, [&](int64_t to, int64_t from) { dst[to] = block[from]; });
      block += layout.block_rows * layout.block_cols;
    }
  }
  return weight;
}

}  // namespace topiary
