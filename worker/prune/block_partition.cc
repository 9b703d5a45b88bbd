#include "worker/prune/block_partition.h"

#include <algorithm>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/prune/block_runs.h"

namespace topiary {
namespace {

int64_t DivideRoundingUp(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// A run along K ends where the kernel position (kh, kw) changes.
int64_t RunsAlongRows(const PrunableLayer& layer, const BlockPosition& at) {
  const int64_t parts = (at.row + at.rows - 1) / layer.in_extent - at.row / layer.in_extent + 1;
  return at.cols * parts;
}

int64_t RunsAlongCols(const BlockPosition& at) { return at.rows; }

// Appends the runs of one block. Runs go along the direction that gives fewer of them; along the
// smaller stride where both give as many.
class RunWriter {
 public:
  RunWriter(const PrunableLayer& layer, std::vector<BlockRun>* runs) : layer_(layer), runs_(runs) {}

  void Add(const BlockPosition& at, int32_t block) {
    const int64_t runs_along_rows = RunsAlongRows(layer_, at);
    const int64_t runs_along_cols = RunsAlongCols(at);
    const bool along_rows = runs_along_rows != runs_along_cols
                                ? runs_along_rows < runs_along_cols
                                : layer_.in_stride <= layer_.col_stride;
    along_rows ? AddAlongRows(at, block) : AddAlongCols(at, block);
  }

 private:
  void AddAlongRows(const BlockPosition& at, int32_t block) {
    for (int64_t col = at.col; col < at.col + at.cols; ++col) {
      int64_t row = at.row;
      while (row < at.row + at.rows) {
        const int64_t end =
            std::min(at.row + at.rows, (row / layer_.in_extent + 1) * layer_.in_extent);
        runs_->push_back({layer_.Offset(at.group, row, col), static_cast<int32_t>(end - row),
                          static_cast<int32_t>(layer_.in_stride), block});
        row = end;
      }
    }
  }

  void AddAlongCols(const BlockPosition& at, int32_t block) {
    for (int64_t row = at.row; row < at.row + at.rows; ++row) {
      runs_->push_back({layer_.Offset(at.group, row, at.col), static_cast<int32_t>(at.cols),
                        static_cast<int32_t>(layer_.col_stride), block});
    }
  }

  const PrunableLayer& layer_;
  std::vector<BlockRun>* const runs_;
};

bool InputsLieTogether(const PrunableLayer& layer) { return layer.in_stride <= layer.col_stride; }

// Whether AddSteppedRuns() is for these blocks.
bool HasSteppedRuns(const PrunableLayer& layer, const BlockShape& block) {
  return (InputsLieTogether(layer) ? block.rows : block.cols) == 1;
}

// Runs over blocks of which each has one element of them: along K where a row of blocks is one
// input and inputs lie next to one another, along the outputs where the same holds for these. Whole
// blocks would be as many runs as elements.
void AddSteppedRuns(const PrunableLayer& layer, const BlockShape& block, int64_t block_rows,
                    int64_t block_cols, std::vector<BlockRun>* runs) {
  const bool along_rows = InputsLieTogether(layer);
  const auto block_at = [&](int64_t group, int64_t row, int64_t col) {
    return static_cast<int32_t>((group * block_rows + row / block.rows) * block_cols +
                                col / block.cols);
  };
  for (int64_t group = 0; group < layer.groups; ++group) {
    if (!along_rows) {
      for (int64_t row = 0; row < layer.rows; ++row) {
        runs->push_back({layer.Offset(group, row, 0), static_cast<int32_t>(layer.cols),
                         static_cast<int32_t>(layer.col_stride), block_at(group, row, 0), 1});
      }
      continue;
    }
    for (int64_t col = 0; col < layer.cols; ++col) {
      for (int64_t row = 0; row < layer.rows; row += layer.in_extent) {
        runs->push_back({layer.Offset(group, row, col), static_cast<int32_t>(layer.in_extent),
                         static_cast<int32_t>(layer.in_stride), block_at(group, row, col),
                         static_cast<int32_t>(block_cols)});
      }
    }
  }
}

// Of blocks no larger than the matrix: as many as the functions above add.
int64_t CountRuns(const PrunableLayer& layer, const BlockShape& block) {
  if (HasSteppedRuns(layer, block)) {
    const int64_t of_matrix = InputsLieTogether(layer)
                                  ? layer.cols * DivideRoundingUp(layer.rows, layer.in_extent)
                                  : layer.rows;
    return layer.groups * of_matrix;
  }
  const int64_t whole_cols = layer.cols / block.cols;
  BlockPosition at;
  int64_t runs = 0;
  for (at.row = 0; at.row < layer.rows; at.row += block.rows) {
    at.rows = std::min(block.rows, layer.rows - at.row);
    const auto of_block = [&](int64_t cols) {
      at.cols = cols;
      return std::min(RunsAlongRows(layer, at), RunsAlongCols(at));
    };
    runs += whole_cols * of_block(block.cols) + of_block(layer.cols % block.cols);
  }
  return layer.groups * runs;
}

// Padding a block beyond its matrix would only waste memory when it is stored.
BlockShape Fitted(const PrunableLayer& layer, const BlockShape& block) {
  return {std::min(block.rows, layer.rows), std::min(block.cols, layer.cols)};
}

}  // namespace

absl::StatusOr<int64_t> BlockPartition::CountBlocks(const PrunableLayer& layer,
                                                    const BlockShape& block) {
  if (block.rows < 1 || block.cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat("a block of ", block.rows, " x ", block.cols,
                                                   " is empty: both extents must be >= 1"));
  }
  if (layer.groups < 1 || layer.rows < 1 || layer.cols < 1) {
    return absl::InvalidArgumentError(absl::StrCat("weight '", layer.weight, "' is empty"));
  }
  // Each factor is at most the number of elements, which fits in memory; the product of the three
  // is too.
  const int64_t count = layer.groups * DivideRoundingUp(layer.rows, block.rows) *
                        DivideRoundingUp(layer.cols, block.cols);
  const int64_t largest = std::max({layer.in_stride, layer.col_stride, layer.rows, layer.cols});
  if (count > std::numeric_limits<int32_t>::max() ||
      largest > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("weight '", layer.weight, "' has ", count,
                                                   " blocks of ", block.rows, " x ", block.cols,
                                                   ": use larger blocks"));
  }
  return count;
}

int64_t BlockPartition::BytesToCreate(const PrunableLayer& layer, const BlockShape& block) {
  return CountRuns(layer, Fitted(layer, block)) * static_cast<int64_t>(sizeof(BlockRun));
}

absl::StatusOr<BlockPartition> BlockPartition::Create(const PrunableLayer& layer,
                                                      const BlockShape& block) {
  ASSIGN_OR_RETURN(const int64_t count, CountBlocks(layer, block));
  BlockPartition partition;
  partition.layer_ = layer;
  partition.block_ = Fitted(layer, block);
  partition.block_rows_ = DivideRoundingUp(layer.rows, block.rows);
  partition.block_cols_ = DivideRoundingUp(layer.cols, block.cols);
  auto runs = std::make_shared<BlockRuns>();
  runs->block_count = count;
  partition.runs_ = runs;
  runs->runs.reserve(CountRuns(layer, partition.block_));
  if (HasSteppedRuns(layer, partition.block_)) {
    AddSteppedRuns(layer, partition.block_, partition.block_rows_, partition.block_cols_,
                   &runs->runs);
  } else {
    RunWriter writer(layer, &runs->runs);
    for (int64_t i = 0; i < count; ++i) {
      writer.Add(partition.Position(i), static_cast<int32_t>(i));
    }
  }
  SortAndJoin(&runs->runs);
  return partition;
}

BlockPosition BlockPartition::Position(int64_t block) const {
  CHECK(block >= 0 && block < block_count()) << "block " << block << " of " << block_count();
  BlockPosition position;
  const int64_t per_group = block_rows_ * block_cols_;
  position.group = block / per_group;
  position.row = (block % per_group) / block_cols_ * block_.rows;
  position.col = block % block_cols_ * block_.cols;
  position.rows = std::min(block_.rows, layer_.rows - position.row);
  position.cols = std::min(block_.cols, layer_.cols - position.col);
  return position;
}

int64_t BlockPartition::ElementsPruned(absl::Span<const uint8_t> kept) const {
  // Asked several times a second, also of millions of single weights.
  if (block_count() == layer_.element_count()) return std::count(kept.begin(), kept.end(), 0);
  int64_t elements = 0;
  for (size_t block = 0; block < kept.size(); ++block) {
    if (kept[block] == 0) elements += ElementsIn(static_cast<int64_t>(block));
  }
  return elements;
}

void BlockPartition::ZeroPruned(absl::Span<const uint8_t> kept, absl::Span<float> weight) const {
  CHECK_EQ(static_cast<int64_t>(kept.size()), block_count());
  CHECK_EQ(static_cast<int64_t>(weight.size()), layer_.element_count());
  for (const BlockRun& run : runs_->runs) {
    if (run.block_step == 0 && kept[run.block] != 0) continue;
    for (int32_t i = 0; i < run.length; ++i) {
      if (kept[run.BlockOf(i)] == 0) weight[run.At(i)] = 0.0F;
    }
  }
}

void BlockPartition::ScaleBlocks(absl::Span<const float> factors, absl::Span<float> weight) const {
  CHECK_EQ(static_cast<int64_t>(factors.size()), block_count());
  CHECK_EQ(static_cast<int64_t>(weight.size()), layer_.element_count());
  for (const BlockRun& run : runs_->runs) {
    for (int32_t i = 0; i < run.length; ++i) {
      const float factor = factors[run.BlockOf(i)];
      float& value = weight[run.At(i)];
      value = factor == 0 ? 0.0F : factor * value;
    }
  }
}

std::vector<double> BlockPartition::SumsOfSquares(absl::Span<const float> weight) const {
  CHECK_EQ(static_cast<int64_t>(weight.size()), layer_.element_count());
  std::vector<double> sums(block_count(), 0.0);
  for (const BlockRun& run : runs_->runs) {
    double sum = 0;
    for (int32_t i = 0; i < run.length; ++i) {
      const double value = weight[run.At(i)];
      if (run.block_step == 0) {
        sum += value * value;
      } else {
        sums[run.BlockOf(i)] += value * value;
      }
    }
    sums[run.block] += sum;
  }
  return sums;
}

}  // namespace topiary
