#include "worker/kernels/blocksparse/gathered_product.h"

#include <algorithm>
#include <utility>

#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Rows of a table at most: what nine taps see of them fits half of the first cache.
constexpr int64_t kMostTableRows = 8 * kChunkUnit;

// Columns of at least a cache line can go either way where vectors are as wide.
constexpr int64_t kLeastWidth = 16;

// Tiles of columns one vector wide keep the multipliers less busy than panels do, but panels must
// be packed and unpacked: so many multiplications for each number packed make up for that.
constexpr int64_t kPanelPays = 24;

// So many numbers of x do not wait in a cache.
constexpr int64_t kPrefetchFloats = 2 << 20;

bool IsIdentity(const GatherAxis& axis) {
  return axis.offsets == std::vector<int64_t>{0} && axis.step == 1 && axis.rows == axis.source &&
         axis.rows == axis.target && axis.target_step == 1 && axis.target_offset == 0;
}

}  // namespace

bool GoesAlongColumns(const GatherShape& shape, int64_t width, int64_t kept,
                      const BlockKernels& kernels) {
  if (shape.rows() < kernels.lanes || width >= 2 * kernels.lanes) return true;
  // What several taps see is packed several times.
  return width >= kLeastWidth &&
         (shape.taps() > 1 || kept < kPanelPays * (shape.inputs + shape.outputs));
}

GatheredProduct::GatheredProduct(GatherShape shape, BlockColumns columns,
                                 const BlockKernels& kernels, bool along_columns, int threads)
    : shape_(std::move(shape)),
      columns_(std::move(columns)),
      kernels_(&kernels),
      along_columns_(along_columns),
      threads_(threads),
      gathers_nothing_(IsIdentity(shape_.height) && IsIdentity(shape_.width)) {
  const int64_t row_floats = shape_.inputs + shape_.outputs;
  if (along_columns_) {
    chunk_ = std::max<int64_t>(1, kChunkFloats / row_floats / kChunkUnit) * kChunkUnit;
    if (!gathers_nothing_) chunk_ = std::min(chunk_, kMostTableRows);
    return;
  }
  panel_units_ = kMaxPanelUnits;
  if (!gathers_nothing_) {
    // A panel has what all taps see.
    const int64_t unit_floats = kernels.lanes * (shape_.taps() * shape_.inputs + shape_.outputs);
    panel_units_ = std::min(kMaxPanelUnits, std::max<int64_t>(1, kChunkFloats / unit_floats));
  }
  if (columns_.widest() == 1) strips_ = BlockStrips(kernels, &columns_);
  chunk_ = panel_units_ * kernels.lanes;
}

int64_t GatheredProduct::zeros_floats() const {
  return gathers_nothing_ ? 0 : RoundUp(shape_.inputs, kLineFloats);
}

int64_t GatheredProduct::table_floats() const {
  if (gathers_nothing_) return 0;
  return FloatsOfPointers(shape_.taps() * chunk_) + FloatsOfPointers(chunk_);
}

int64_t GatheredProduct::panel_floats() const {
  const int64_t height = panel_units_ * kernels_->lanes;
  return RoundUp(height * shape_.taps() * shape_.inputs, kLineFloats) +
         RoundUp(height * shape_.outputs, kLineFloats);
}

int64_t GatheredProduct::scratch_floats() const {
  return zeros_floats() + threads_ * (table_floats() + panel_floats());
}

GatheredProduct::Workspace GatheredProduct::WorkspaceOf(float* scratch, int part) const {
  if (scratch_floats() == 0) return {};
  float* own = scratch + zeros_floats() + part * (table_floats() + panel_floats());
  Workspace workspace;
  workspace.x = reinterpret_cast<const float**>(own);
  workspace.y = reinterpret_cast<float**>(own + FloatsOfPointers(shape_.taps() * chunk_));
  workspace.x_panel = own + table_floats();
  workspace.y_panel =
      workspace.x_panel +
      RoundUp(panel_units_ * kernels_->lanes * shape_.taps() * shape_.inputs, kLineFloats);
  return workspace;
}

void GatheredProduct::FillTables(const Product& product, int64_t first, int64_t count,
                                 const Workspace& workspace) const {
  FillGatherTable(shape_, product.x, product.zeros, first, count, chunk_, workspace.x);
  FillTargetTable(shape_, product.y, first, count, workspace.y);
}

void GatheredProduct::Prefetch(const float* x, int64_t floats, int64_t share,
                               int64_t shares) const {
  if (!gathers_nothing_ || shape_.rows() * shape_.inputs < kPrefetchFloats) return;
  const Range part = PartOf(floats, kLineFloats, static_cast<int>(share), static_cast<int>(shares));
  for (int64_t i = part.begin; i < part.end; i += kLineFloats) {
    __builtin_prefetch(x + i, /*rw=*/0, /*locality=*/2);
  }
}

void GatheredProduct::MultiplyAlongColumns(const Product& product, int64_t first, int64_t end,
                                           const ColumnRange& columns,
                                           const Workspace& workspace) const {
  for (int64_t row = first; row < end; row += chunk_) {
    const int64_t count = std::min(chunk_, end - row);
    if (!gathers_nothing_) FillTables(product, row, count, workspace);
    const int64_t next = row + count;
    const int64_t next_floats = std::min(chunk_, end - next) * shape_.inputs;
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      Prefetch(product.x + next * shape_.inputs, next_floats, j - columns.begin,
               columns.end - columns.begin);
      const BlockColumn column = columns_.At(j, product.bias, product.relu);
      if (gathers_nothing_) {
        kernels_->multiply_rows(
            column, product.packed, product.x + row * shape_.inputs, shape_.inputs, count,
            product.y + row * shape_.outputs + columns_.output(j), shape_.outputs);
      } else {
        kernels_->multiply_gathered(column, product.packed,
                                    {workspace.x, chunk_, workspace.y, count}, columns_.output(j));
      }
    }
    if (product.finish) product.finish(row, count);
  }
}

void GatheredProduct::PackPanel(const Product& product, int64_t first, int64_t count, int64_t units,
                                const Workspace& workspace) const {
  if (gathers_nothing_) {
    kernels_->pack_panel(product.x + first * shape_.inputs, shape_.inputs, count, shape_.inputs,
                         units, workspace.x_panel);
    return;
  }
  FillTables(product, first, count, workspace);
  for (int64_t tap = 0; tap < shape_.taps(); ++tap) {
    kernels_->pack_gathered_panel(
        workspace.x + tap * chunk_, 0, count, shape_.inputs, units,
        workspace.x_panel + tap * shape_.inputs * units * kernels_->lanes);
  }
}

void GatheredProduct::MultiplyPanel(const Product& product, int64_t units,
                                    const Workspace& workspace) const {
  if (!strips_.empty()) {
    for (int64_t j = 0; j < strips_.size(); ++j) {
      kernels_->multiply_strips(strips_.At(j, product.bias, product.relu), product.packed,
                                workspace.x_panel, units, workspace.y_panel);
    }
    return;
  }
  for (int64_t j = 0; j < columns_.size(); ++j) {
    kernels_->multiply_panel(columns_.At(j, product.bias, product.relu), product.packed,
                             workspace.x_panel, units,
                             workspace.y_panel + columns_.output(j) * units * kernels_->lanes);
  }
}

void GatheredProduct::MultiplyAlongRows(const Product& product, int64_t first, int64_t end,
                                        const Workspace& workspace) const {
  const int64_t lanes = kernels_->lanes;
  while (first < end) {
    const int64_t units = NextUnits(RoundUp(end - first, lanes) / lanes, panel_units_);
    const int64_t count = std::min(end - first, units * lanes);
    PackPanel(product, first, count, units, workspace);
    MultiplyPanel(product, units, workspace);
    if (gathers_nothing_) {
      kernels_->unpack_panel(workspace.y_panel, units, count, shape_.outputs,
                             product.y + first * shape_.outputs, shape_.outputs);
    } else {
      kernels_->unpack_gathered_panel(workspace.y_panel, units, count, shape_.outputs, workspace.y);
    }
    if (product.finish) product.finish(first, count);
    first += count;
  }
}

void GatheredProduct::Run(const float* x, const float* packed, const float* bias, bool relu,
                          float* scratch, float* y, const FinishRows& finish) const {
  if (!gathers_nothing_) std::fill_n(scratch, shape_.inputs, 0.0f);
  const int64_t rows = shape_.rows();
  const int64_t cost = rows * columns_.cost();
  // Few rows are not split: each thread takes columns of about the same cost instead.
  if (along_columns_ && rows < threads_ * kChunkUnit) {
    const int64_t grain = GrainOf(columns_.size(), cost);
    const FinishRows later;
    const Product product = {x, packed, bias, relu, scratch, y, later};
    ParallelFor(threads_, columns_.size(), grain, 1, [&](int64_t begin, int64_t end, int part) {
      const bool alone = end - begin == columns_.size();
      MultiplyAlongColumns(product, 0, rows,
                           alone ? ColumnRange{begin, end} : columns_.Share(part, threads_),
                           WorkspaceOf(scratch, part));
    });
    if (finish) finish(0, rows);
    return;
  }
  const Product product = {x, packed, bias, relu, scratch, y, finish};
  const int64_t unit = along_columns_ ? kChunkUnit / 2 : kernels_->lanes;
  ParallelFor(threads_, rows, GrainOf(rows, cost), unit, [&](int64_t begin, int64_t end, int part) {
    const Workspace workspace = WorkspaceOf(scratch, part);
    if (along_columns_) {
      MultiplyAlongColumns(product, begin, end, {0, columns_.size()}, workspace);
    } else {
      MultiplyAlongRows(product, begin, end, workspace);
    }
  });
}

}  // namespace topiary
