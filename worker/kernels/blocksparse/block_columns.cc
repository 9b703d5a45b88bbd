#include "worker/kernels/blocksparse/block_columns.h"

#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Multiplications for which a second thread starts to pay.
constexpr int64_t kGrain = 1 << 19;

}  // namespace

int64_t GrainOf(int64_t items, int64_t multiplications) {
  if (multiplications == 0) return items;
  return std::max<int64_t>(1, items * kGrain / std::max(multiplications, kGrain));
}

// The side that lies far apart is walked along its neighbours.
void CopyTimes(const BlockCopy& c, float factor, const float* from, float* to) {
  if (c.from_col_stride == 1 && c.to_col_stride == 1) {
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.cols; ++j) {
        to[i * c.to_row_stride + j] = factor * from[i * c.from_row_stride + j];
      }
    }
    return;
  }
  for (int64_t j = 0; j < c.cols; ++j) {
    for (int64_t i = 0; i < c.rows; ++i) {
      to[i * c.to_row_stride + j * c.to_col_stride] =
          factor * from[i * c.from_row_stride + j * c.from_col_stride];
    }
  }
}

void BlockColumns::AddColumn(int64_t output, int64_t width, int64_t stride) {
  const auto terms = static_cast<int64_t>(terms_.size());
  columns_.push_back({output, width, stride, terms, terms});
  cost_.push_back(cost_.back() + width);
  widest_ = std::max(widest_, width);
}

void BlockColumns::AddTerm(int64_t tap, int64_t input, int64_t depth) {
  Column& column = columns_.back();
  terms_.push_back({input, depth, packed_floats_, tap});
  column.end_term = static_cast<int64_t>(terms_.size());
  packed_floats_ += depth * column.stride;
  cost_.back() += depth * column.width;
}

void BlockColumns::PlaceInOrder(int64_t first, const std::vector<int64_t>& order) {
  if (order.empty()) return;
  int64_t at = terms_[first].weights;
  for (const int64_t index : order) {
    terms_[index].weights = at;
    at += terms_[index].depth;
  }
}

BlockColumn BlockColumns::At(int64_t j, const float* bias, bool relu) const {
  const Column& column = columns_[j];
  BlockColumn result;
  result.terms = terms_.data() + column.first_term;
  result.term_count = column.end_term - column.first_term;
  result.width = column.width;
  result.stride = column.stride;
  result.bias = bias == nullptr ? nullptr : bias + column.output;
  result.relu = relu;
  return result;
}

ColumnRange BlockColumns::Share(int part, int parts) const {
  const auto at = [&](int index) -> int64_t {
    const int64_t share = cost() * index / parts;
    return std::lower_bound(cost_.begin(), cost_.end(), share) - cost_.begin();
  };
  return {at(part), at(part + 1)};
}

void BlockColumns::Pack(const std::function<MatrixView(const BlockTerm&, int64_t output)>& block_at,
                        float factor, int threads, float* packed) const {
  const int64_t grain = GrainOf(size(), packed_floats_);
  ParallelFor(threads, size(), grain, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; ++j) {
      const Column& column = columns_[j];
      for (int64_t t = column.first_term; t < column.end_term; ++t) {
        const BlockTerm& term = terms_[t];
        const MatrixView block = block_at(term, column.output);
        float* to = packed + term.weights;
        CopyTimes({term.depth, column.width, block.row_stride, block.col_stride, column.stride, 1},
                  factor, block.data, to);
        for (int64_t i = 0; i < term.depth && column.width < column.stride; ++i) {
          std::fill_n(to + i * column.stride + column.width, column.stride - column.width, 0.0f);
        }
      }
    }
  });
}

bool operator==(const BlockColumns& a, const BlockColumns& b) {
  const auto same_column = [](const BlockColumns::Column& x, const BlockColumns::Column& y) {
    return x.output == y.output && x.width == y.width && x.stride == y.stride &&
           x.end_term == y.end_term;
  };
  const auto same_term = [](const BlockTerm& x, const BlockTerm& y) {
    return x.input == y.input && x.depth == y.depth && x.tap == y.tap && x.weights == y.weights;
  };
  return std::equal(a.columns_.begin(), a.columns_.end(), b.columns_.begin(), b.columns_.end(),
                    same_column) &&
         std::equal(a.terms_.begin(), a.terms_.end(), b.terms_.begin(), b.terms_.end(), same_term);
}

}  // namespace topiary
