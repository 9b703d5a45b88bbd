#include "worker/tensor/shape.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"

namespace topiary {

int64_t Shape::element_count() const {
  const absl::StatusOr<int64_t> count = CheckedElementCount();
  CHECK(count.ok()) << count.status().ToString();
  return *count;
}

absl::StatusOr<int64_t> Shape::CheckedElementCount(int64_t limit) const {
  // Extents of 0 count as 1 against the limit, or the strides of [0, 2^62, 2^62] would overflow.
  bool empty = false;
  for (int64_t d : dims_) {
    if (d < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", ToString(), " has a negative extent"));
    }
    empty |= d == 0;
  }
  int64_t count = 1;
  for (int64_t d : dims_) {
    if (d == 0) continue;
    if (d > limit / count) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", ToString(), " has more than ", limit, " elements"));
    }
    count *= d;
  }
  return empty ? 0 : count;
}

Shape::Dims Shape::Strides() const {
  Dims strides(dims_.size(), 1);
  for (int i = rank() - 2; i >= 0; --i) strides[i] = strides[i + 1] * dims_[i + 1];
  return strides;
}

Shape Shape::WithDim(int axis, int64_t extent) const {
  CHECK(axis >= 0 && axis < rank()) << "axis " << axis << " of " << ToString();
  Shape result = *this;
  result.dims_[axis] = extent;
  return result;
}

std::string Shape::ToString() const { return absl::StrCat("[", absl::StrJoin(dims_, ","), "]"); }

absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape::Dims dims(rank, 1);
  for (int i = 0; i < rank; ++i) {
    const int ai = i - (rank - a.rank());
    const int bi = i - (rank - b.rank());
    const int64_t da = ai < 0 ? 1 : a[ai];
    const int64_t db = bi < 0 ? 1 : b[bi];
    if (da != db && da != 1 && db != 1) {
      return absl::InvalidArgumentError(absl::StrCat("shapes ", a.ToString(), " and ", b.ToString(),
                                                     " cannot be broadcast together"));
    }
    dims[i] = da == 1 ? db : da;
  }
  return Shape(absl::MakeConstSpan(dims));
}

Shape::Dims BroadcastStrides(const Shape& from, const Shape& to) {
  CHECK_LE(from.rank(), to.rank());
  const Shape::Dims own = from.Strides();
  Shape::Dims strides(to.rank(), 0);
  const int offset = to.rank() - from.rank();
  for (int i = 0; i < from.rank(); ++i) {
    CHECK(from[i] == to[i + offset] || from[i] == 1)
        << from.ToString() << " does not broadcast to " << to.ToString();
    strides[i + offset] = from[i] == 1 ? 0 : own[i];
  }
  return strides;
}

}  // namespace topiary
