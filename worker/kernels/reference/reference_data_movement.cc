#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "worker/kernels/reference/reference_ops.h"
#include "worker/kernels/reference/strided_loop.h"

namespace topiary {
namespace reference {
namespace {

// A tensor of shape `part` is a slab of one of shape `whole`: for each of `outer` positions before
// the axis, `length` contiguous elements.
struct Slab {
  Slab(const Shape& part, const Shape& whole, int axis) {
    for (int i = 0; i < axis; ++i) outer *= part[i];
    for (int i = axis; i < part.rank(); ++i) {
      length *= part[i];
      whole_length *= whole[i];
    }
  }
  int64_t outer = 1;
  int64_t length = 1;
  int64_t whole_length = 1;
};

// Calls visit(outer, k, row) for each index, row = -1 where it is outside [-n, n).
template <typename Visit>
void ForEachIndex(const Shape& src, const Shape& dst, const int64_t* indices, Visit visit) {
  const int64_t n = src[1];
  for (int64_t outer = 0; outer < dst[0]; ++outer) {
    for (int64_t k = 0; k < dst[1]; ++k) {
      const int64_t index = indices[k];
      visit(outer, k, index < -n || index >= n ? -1 : index < 0 ? index + n : index);
    }
  }
}

}  // namespace

void Gather(const OpDescription& op, Buffers buffers) {
  const Shape &src = op.operands[0].shape, &dst = op.operands[2].shape;
  const size_t bytes = static_cast<size_t>(src[2]) * SizeOf(op.operands[0].dtype);
  const auto* from = static_cast<const char*>(buffers[0]);
  auto* to = static_cast<char*>(buffers[2]);
  ForEachIndex(src, dst, static_cast<const int64_t*>(buffers[1]),
               [&](int64_t outer, int64_t k, int64_t row) {
                 char* at = to + (outer * dst[1] + k) * bytes;
                 if (row < 0) {
                   std::memset(at, 0, bytes);
                 } else {
                   std::memcpy(at, from + (outer * src[1] + row) * bytes, bytes);
                 }
               });
}

void GatherBackward(const OpDescription& op, Buffers buffers) {
  const Shape &dst = op.operands[0].shape, &src = op.operands[2].shape;
  const int64_t inner = src[2];
  std::vector<double> sums(src.element_count());
  ForEachIndex(src, dst, static_cast<const int64_t*>(buffers[1]),
               [&](int64_t outer, int64_t k, int64_t row) {
                 for (int64_t i = 0; row >= 0 && i < inner; ++i) {
                   sums[(outer * src[1] + row) * inner + i] +=
                       F32(buffers, 0)[(outer * dst[1] + k) * inner + i];
                 }
               });
  std::copy(sums.begin(), sums.end(), F32(buffers, 2));
}

void Transpose(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<TransposeParameters>(op.parameters);
  const Shape& dst = op.operands[1].shape;
  const Shape::Dims src_strides = op.operands[0].shape.Strides();
  std::array<Shape::Dims, 1> strides;
  for (int axis : p.permutation) strides[0].push_back(src_strides[axis]);
  const float* src = F32(buffers, 0);
  ForEachElement(dst, strides, [&](int64_t i, const std::array<int64_t, 1>& offset) {
    F32(buffers, 1)[i] = src[offset[0]];
  });
}

void Concat(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ConcatParameters>(op.parameters);
  const int parts = static_cast<int>(op.operands.size()) - 1;
  float* dst = F32(buffers, parts);
  for (int part = 0; part < parts; ++part) {
    const Slab slab(op.operands[part].shape, op.operands[parts].shape, p.axis);
    const float* src = F32(buffers, part);
    for (int64_t o = 0; o < slab.outer; ++o) {
      std::copy_n(src + o * slab.length, slab.length, dst + o * slab.whole_length);
    }
    dst += slab.length;
  }
}

void Split(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ConcatParameters>(op.parameters);
  const float* src = F32(buffers, 0);
  for (int part = 1; part < static_cast<int>(op.operands.size()); ++part) {
    const Slab slab(op.operands[part].shape, op.operands[0].shape, p.axis);
    float* dst = F32(buffers, part);
    for (int64_t o = 0; o < slab.outer; ++o) {
      std::copy_n(src + o * slab.whole_length, slab.length, dst + o * slab.length);
    }
    src += slab.length;
  }
}

}  // namespace reference
}  // namespace topiary
