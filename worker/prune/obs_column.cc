#include "worker/prune/obs_column.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Rows of the triangle that are updated together.
constexpr int64_t kRowsAtOnce = 32;

}  // namespace

ObsColumn::ObsColumn(int64_t inputs, int64_t outputs, int64_t block_rows)
    : block_rows_(std::min(block_rows, inputs)),
      capacity_(inputs),
      h_(inputs * inputs),
      weights_(inputs * outputs),
      factor_(block_rows_ * block_rows_),
      solved_(block_rows_ * outputs),
      columns_(inputs * block_rows_),
      rows_(inputs * block_rows_) {}

absl::StatusOr<std::vector<ObsRemoval>> ObsColumn::RemoveAll(absl::Span<const double> inverse,
                                                             absl::Span<const double> weights,
                                                             int64_t outputs,
                                                             const WorkCheck& check) {
  CHECK_EQ(static_cast<int64_t>(inverse.size()), capacity_ * capacity_);
  CHECK_EQ(static_cast<int64_t>(weights.size()), capacity_ * outputs);
  size_ = capacity_;
  outputs_ = outputs;
  std::copy(inverse.begin(), inverse.end(), h_.begin());
  for (int64_t output = 0; output < outputs; ++output) {
    for (int64_t i = 0; i < size_; ++i)
      weights_[i * outputs + output] = weights[output * size_ + i];
  }
  groups_.clear();
  for (int64_t begin = 0; begin < size_; begin += block_rows_) {
    groups_.push_back({begin / block_rows_, begin, std::min(block_rows_, size_ - begin)});
  }
  std::vector<ObsRemoval> removals;
  int64_t removed_inputs = 0;
  const size_t count = groups_.size();
  while (removals.size() < count) {
    RETURN_IF_ERROR(check());
    Group* cheapest = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (Group& group : groups_) {
      if (group.removed) continue;
      const double cost = Factor(group) ? Cost(group) : std::numeric_limits<double>::infinity();
      if (cheapest != nullptr && !(cost < least)) continue;
      cheapest = &group;
      least = cost;
    }
    if (std::isfinite(least)) {
      Factor(*cheapest);
      Cost(*cheapest);
      Remove(*cheapest);
    }
    cheapest->removed = true;
    removals.push_back(
        {cheapest->row, std::isfinite(least) ? least : std::numeric_limits<double>::infinity()});
    removed_inputs += cheapest->size;
    if (8 * removed_inputs > size_) {
      Compact();
      removed_inputs = 0;
    }
  }
  return removals;
}

bool ObsColumn::Factor(const Group& group) {
  const int64_t n = group.size;
  for (int64_t i = 0; i < n; ++i) {
    const double* const row = &h_[(group.begin + i) * size_ + group.begin];
    for (int64_t j = 0; j <= i; ++j) {
      double sum = row[j];
      for (int64_t k = 0; k < j; ++k) sum -= factor_[i * n + k] * factor_[j * n + k];
      if (j < i) {
        factor_[i * n + j] = sum / factor_[j * n + j];
      } else if (sum > 0) {
        factor_[i * n + i] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  return true;
}

double ObsColumn::Cost(const Group& group) {
  const int64_t n = group.size;
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    double* const solved = &solved_[i * outputs_];
    std::copy_n(&weights_[(group.begin + i) * outputs_], outputs_, solved);
    for (int64_t k = 0; k < i; ++k) {
      const double factor = factor_[i * n + k];
      const double* const before = &solved_[k * outputs_];
      for (int64_t c = 0; c < outputs_; ++c) solved[c] -= factor * before[c];
    }
    const double pivot = factor_[i * n + i];
    for (int64_t c = 0; c < outputs_; ++c) {
      solved[c] /= pivot;
      squares += solved[c] * solved[c];
    }
  }
  return squares / 2;
}

// With (H^-1)_bb = L L^T and V = (H^-1)_:b L^-T: H^-1 -= V V^T and W -= V (L^-1 w_b).
void ObsColumn::Remove(const Group& group) {
  const int64_t n = group.size;
  for (int64_t i = 0; i < size_; ++i) {
    double* const v = &columns_[i * n];
    for (int64_t j = 0; j < n; ++j) {
      const int64_t b = group.begin + j;
      double sum = i >= b ? h_[i * size_ + b] : h_[b * size_ + i];
      for (int64_t k = 0; k < j; ++k) sum -= v[k] * factor_[j * n + k];
      v[j] = sum / factor_[j * n + j];
      rows_[j * size_ + i] = v[j];
    }
  }
  for (int64_t begin = 0; begin < size_; begin += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, size_ - begin);
    AddProduct(rows, begin + rows, n, -1, {&columns_[begin * n], n}, {rows_.data(), size_},
               {&h_[begin * size_], size_});
  }
  AddProduct(size_, outputs_, n, -1, {columns_.data(), n}, {solved_.data(), outputs_},
             {weights_.data(), outputs_});
}

void ObsColumn::Compact() {
  std::vector<int64_t> left;  // Inputs, by their place now.
  std::vector<Group> groups;
  for (const Group& group : groups_) {
    if (group.removed) continue;
    groups.push_back(group);
    groups.back().begin = static_cast<int64_t>(left.size());
    for (int64_t i = 0; i < group.size; ++i) left.push_back(group.begin + i);
  }
  const auto size = static_cast<int64_t>(left.size());
  // Nothing moves to where something is still to be read.
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j <= i; ++j) h_[i * size + j] = h_[left[i] * size_ + left[j]];
    std::copy_n(&weights_[left[i] * outputs_], outputs_, &weights_[i * outputs_]);
  }
  size_ = size;
  groups_ = std::move(groups);
}

}  // namespace topiary
