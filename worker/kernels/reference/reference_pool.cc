#include <algorithm>
#include <limits>
#include <vector>

#include "common/check.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

struct Axis {
  int64_t src = 1;
  int64_t dst = 1;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad = 0;
  int64_t counted_end = 1;  // One past the last position that count_include_pad counts.

  int64_t SrcOf(int64_t o, int64_t k) const { return o * stride + k * dilation - pad; }
  bool Inside(int64_t i) const { return i >= 0 && i < src; }

  // Positions of the window of output `o` that the divisor counts.
  int64_t Counted(int64_t o, bool include_pad) const {
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t i = SrcOf(o, k);
      if (include_pad ? i < counted_end : Inside(i)) ++count;
    }
    return count;
  }
};

// A window over two axes; one of one axis has a first axis of extent 1.
struct Geometry {
  Geometry(const PoolParameters& p, const Shape& src, const Shape& dst) : planes(src[0] * src[1]) {
    const int spatial = src.rank() - 2;
    CHECK(spatial == 1 || spatial == 2);
    for (int i = 0; i < spatial; ++i) {
      const int64_t counted_pad =
          p.counted_pads_end.empty() ? p.pads_end[i] : p.counted_pads_end[i];
      Axis& axis = spatial == 1 ? w : (i == 0 ? h : w);
      axis = {src[2 + i],
              dst[2 + i],
              p.kernel[i],
              p.strides[i],
              p.dilations[i],
              p.pads_begin[i],
              src[2 + i] + counted_pad};
    }
  }
  int64_t src_plane() const { return h.src * w.src; }
  int64_t dst_plane() const { return h.dst * w.dst; }

  int64_t planes;
  Axis h;
  Axis w;
};

// Calls visit(position in the src plane) for every element of the window of output (oh, ow).
template <typename Visit>
void ForEachInWindow(const Geometry& g, int64_t oh, int64_t ow, Visit visit) {
  for (int64_t kh = 0; kh < g.h.kernel; ++kh) {
    const int64_t ih = g.h.SrcOf(oh, kh);
    if (!g.h.Inside(ih)) continue;
    for (int64_t kw = 0; kw < g.w.kernel; ++kw) {
      const int64_t iw = g.w.SrcOf(ow, kw);
      if (g.w.Inside(iw)) visit(ih * g.w.src + iw);
    }
  }
}

double Divisor(const PoolParameters& p, const Geometry& g, int64_t oh, int64_t ow) {
  return static_cast<double>(std::max<int64_t>(
      1, g.h.Counted(oh, p.count_include_pad) * g.w.Counted(ow, p.count_include_pad)));
}

// Position of the first maximum in the window, -1 if the window lies in the padding alone.
int32_t ArgMax(const Geometry& g, const float* src, int64_t oh, int64_t ow) {
  int64_t best = -1;
  ForEachInWindow(g, oh, ow, [&](int64_t i) {
    if (best < 0 || src[i] > src[best]) best = i;
  });
  return static_cast<int32_t>(best);
}

float Average(const PoolParameters& p, const Geometry& g, const float* src, int64_t oh,
              int64_t ow) {
  double sum = 0;
  ForEachInWindow(g, oh, ow, [&](int64_t i) { sum += src[i]; });
  return static_cast<float>(sum / Divisor(p, g, oh, ow));
}

}  // namespace

// The position of the maximum in its plane, int32, for every element of dst.
int64_t PoolWorkspaceBytes(const Shape& dst) {
  return dst.element_count() * static_cast<int64_t>(sizeof(int32_t));
}

void PoolForward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<PoolParameters>(op.parameters);
  const Geometry g(p, op.operands[0].shape, op.operands[1].shape);
  int32_t* workspace = buffers.size() == 3 ? static_cast<int32_t*>(buffers[2]) : nullptr;
  for (int64_t plane = 0; plane < g.planes; ++plane) {
    const float* src = F32(buffers, 0) + plane * g.src_plane();
    for (int64_t o = 0; o < g.dst_plane(); ++o) {
      const int64_t dst = plane * g.dst_plane() + o;
      const int64_t oh = o / g.w.dst;
      const int64_t ow = o % g.w.dst;
      if (p.kind == PoolKind::kAverage) {
        F32(buffers, 1)[dst] = Average(p, g, src, oh, ow);
        continue;
      }
      const int32_t best = ArgMax(g, src, oh, ow);
      F32(buffers, 1)[dst] = best < 0 ? std::numeric_limits<float>::lowest() : src[best];
      if (workspace != nullptr) workspace[dst] = best;
    }
  }
}

void PoolBackward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<PoolParameters>(op.parameters);
  const PoolBackwardOrder order(p);
  const Shape& src_shape = op.operands[order.d_src].shape;
  const Geometry g(p, src_shape, op.operands[order.d_dst].shape);
  const float* d_dst = F32(buffers, order.d_dst);
  std::vector<double> sums(src_shape.element_count());
  for (int64_t i = 0; i < g.planes * g.dst_plane(); ++i) {
    double* d_src = sums.data() + i / g.dst_plane() * g.src_plane();
    if (p.kind == PoolKind::kMax) {
      const int32_t best = static_cast<const int32_t*>(buffers[order.workspace])[i];
      if (best >= 0) d_src[best] += d_dst[i];
      continue;
    }
    const int64_t oh = i % g.dst_plane() / g.w.dst;
    const int64_t ow = i % g.w.dst;
    const double share = d_dst[i] / Divisor(p, g, oh, ow);
    ForEachInWindow(g, oh, ow, [&](int64_t position) { d_src[position] += share; });
  }
  std::transform(sums.begin(), sums.end(), F32(buffers, order.d_src),
                 [](double sum) { return static_cast<float>(sum); });
}

}  // namespace reference
}  // namespace topiary
