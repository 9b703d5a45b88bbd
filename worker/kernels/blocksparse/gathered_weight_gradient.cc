#include "worker/kernels/blocksparse/gathered_weight_gradient.h"

#include <algorithm>
#include <utility>

#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Rows of which a block's gradient is summed up while they are in the first cache, and those that
// are packed at a time.
constexpr int64_t kGradientChunk = 64;
constexpr int64_t kGradientPass = 256;

}  // namespace

GatheredWeightGradient::GatheredWeightGradient(const BlockSparsePattern& pattern, GatherShape shape,
                                               const BlockKernels& kernels, int threads)
    : shape_(std::move(shape)),
      kernels_(&kernels),
      threads_(threads),
      along_columns_(pattern.block_cols >= kernels.lanes),
      block_rows_(pattern.block_rows),
      stride_(along_columns_ ? RoundUp(pattern.block_cols, kernels.lanes) : pattern.block_cols),
      pass_(RoundUp(std::min(shape_.rows(), kGradientPass), kernels.lanes)) {
  const int64_t channels = shape_.inputs / pattern.groups;
  std::vector<int64_t> col_slots(pattern.groups * pattern.across(), -1);
  for (int64_t i = 0; i < pattern.groups * pattern.down(); ++i) {
    if (pattern.crow_indices[i] == pattern.crow_indices[i + 1]) continue;
    const int64_t group = pattern.GroupOf(i);
    Slot row;
    row.extent = pattern.RowsOf(i);
    for (int64_t at = 0; at < row.extent;) {
      const int64_t tap = (pattern.RowOf(i) + at) / channels;
      const int64_t channel = (pattern.RowOf(i) + at) % channels;
      const int64_t depth = std::min(row.extent - at, channels - channel);
      row.pieces.push_back({tap, group * channels + channel, depth, at});
      at += depth;
    }
    for (int32_t k = pattern.crow_indices[i]; k < pattern.crow_indices[i + 1]; ++k) {
      const int64_t j = pattern.col_indices[k];
      int64_t& col_slot = col_slots[group * pattern.across() + j];
      if (col_slot < 0) {
        col_slot = static_cast<int64_t>(cols_.size());
        cols_.push_back({{}, group * pattern.cols + pattern.ColOf(j), pattern.ColsOf(j)});
      }
      blocks_.push_back({static_cast<int64_t>(rows_.size()), col_slot});
    }
    rows_.push_back(std::move(row));
  }
  const auto after = [](int64_t at, size_t count, int64_t floats) {
    return at + RoundUp(static_cast<int64_t>(count) * floats, kLineFloats);
  };
  zeros_at_ = FloatsOfPointers(shape_.taps() * pass_);
  x_at_ = after(zeros_at_, 1, shape_.inputs);
  d_y_at_ = after(x_at_, rows_.size(), pass_ * block_rows_);
  sums_at_ = after(d_y_at_, cols_.size(), pass_ * stride_);
  floats_ = after(sums_at_, blocks_.size(), block_rows_ * stride_);
}

GatheredWeightGradient::Workspace GatheredWeightGradient::WorkspaceOf(float* scratch) const {
  return {reinterpret_cast<const float**>(scratch), scratch + zeros_at_, scratch + x_at_,
          scratch + d_y_at_, scratch + sums_at_};
}

void GatheredWeightGradient::PackX(const float* x, int64_t first, int64_t rows,
                                   const Workspace& workspace) const {
  FillGatherTable(shape_, x, workspace.zeros, first, rows, pass_, workspace.table);
  const auto slots = static_cast<int64_t>(rows_.size());
  const int64_t units = RoundUp(rows, kernels_->lanes) / kernels_->lanes;
  const int64_t grain = GrainOf(slots, slots * rows * block_rows_);
  ParallelFor(threads_, slots, grain, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      const Slot& slot = rows_[s];
      float* to = workspace.x + s * pass_ * block_rows_;
      for (const Piece& piece : slot.pieces) {
        const float* const* seen = workspace.table + piece.tap * pass_;
        if (!along_columns_) {
          kernels_->pack_gathered_panel(seen, piece.channel, rows, piece.depth, units,
                                        to + piece.at * units * kernels_->lanes);
          continue;
        }
        for (int64_t r = 0; r < rows; ++r) {
          std::copy_n(seen[r] + piece.channel, piece.depth, to + r * slot.extent + piece.at);
        }
      }
    }
  });
}

void GatheredWeightGradient::PackGradient(const float* d_y, int64_t first, int64_t rows,
                                          const Workspace& workspace) const {
  const auto slots = static_cast<int64_t>(cols_.size());
  const int64_t units = RoundUp(rows, kernels_->lanes) / kernels_->lanes;
  const int64_t grain = GrainOf(slots, slots * rows * stride_);
  ParallelFor(threads_, slots, grain, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t s = begin; s < end; ++s) {
      const Slot& slot = cols_[s];
      const float* from = d_y + first * shape_.outputs + slot.first;
      float* to = workspace.d_y + s * pass_ * stride_;
      if (!along_columns_) {
        kernels_->pack_panel(from, shape_.outputs, rows, slot.extent, units, to);
        continue;
      }
      for (int64_t r = 0; r < rows; ++r) {
        float* row = to + r * stride_;
        std::copy_n(from + r * shape_.outputs, slot.extent, row);
        std::fill(row + slot.extent, row + stride_, 0.0f);
      }
    }
  });
}

void GatheredWeightGradient::AddTo(const Block& block, int64_t rows, const Workspace& workspace,
                                   float* sums) const {
  const int64_t depth = rows_[block.row_slot].extent, width = cols_[block.col_slot].extent;
  const float* x = workspace.x + block.row_slot * pass_ * block_rows_;
  const float* d_y = workspace.d_y + block.col_slot * pass_ * stride_;
  if (!along_columns_) {
    kernels_->add_dot_products(x, d_y, RoundUp(rows, kernels_->lanes), depth, width, sums, stride_);
    return;
  }
  for (int64_t row = 0; row < rows; row += kGradientChunk) {
    kernels_->add_outer_products(x + row * depth, depth, d_y + row * stride_, stride_,
                                 std::min(kGradientChunk, rows - row), depth, width, sums, stride_);
  }
}

void GatheredWeightGradient::Write(
    const Block& block, const float* sums,
    const std::function<MutableMatrixView(const WeightPart&)>& part_at, float factor) const {
  const Slot& col = cols_[block.col_slot];
  for (const Piece& piece : rows_[block.row_slot].pieces) {
    const MutableMatrixView to = part_at({piece.tap, piece.channel, col.first});
    CopyTimes({piece.depth, col.extent, stride_, 1, to.row_stride, to.col_stride}, factor,
              sums + piece.at * stride_, to.data);
  }
}

void GatheredWeightGradient::Run(const float* x, const float* d_y,
                                 const std::function<MutableMatrixView(const WeightPart&)>& part_at,
                                 float factor, float* scratch) const {
  const Workspace workspace = WorkspaceOf(scratch);
  std::fill_n(workspace.zeros, shape_.inputs, 0.0f);
  const auto count = static_cast<int64_t>(blocks_.size());
  const int64_t block_sums = block_rows_ * stride_;
  for (int64_t row = 0; row < shape_.rows(); row += pass_) {
    const int64_t rows = std::min(pass_, shape_.rows() - row);
    PackX(x, row, rows, workspace);
    PackGradient(d_y, row, rows, workspace);
    const int64_t grain = GrainOf(count, rows * count * block_sums);
    ParallelFor(threads_, count, grain, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; ++b) {
        float* sums = workspace.sums + b * block_sums;
        if (row == 0) std::fill_n(sums, block_sums, 0.0f);
        AddTo(blocks_[b], rows, workspace, sums);
        if (row + rows >= shape_.rows()) Write(blocks_[b], sums, part_at, factor);
      }
    });
  }
}

}  // namespace topiary
