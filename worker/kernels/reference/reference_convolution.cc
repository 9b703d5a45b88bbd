#include <algorithm>
#include <vector>

#include "common/check.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

struct Axis {
  int64_t src = 1;
  int64_t kernel = 1;
  int64_t dst = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad = 0;

  // Where tap `k` of output `o` reads; may lie in the padding.
  int64_t SrcOf(int64_t o, int64_t k) const { return o * stride + k * dilation - pad; }
};

// A convolution over two axes; one of one axis has a first axis of extent 1.
struct Geometry {
  Geometry(const ConvolutionParameters& p, const Shape& src, const Shape& weights, const Shape& dst)
      : batch(src[0]),
        groups(p.groups),
        src_channels(src[1] / p.groups),
        dst_channels(dst[1] / p.groups) {
    const int spatial = src.rank() - 2;
    CHECK(spatial == 1 || spatial == 2);
    CHECK_EQ(src_channels, weights[1]);
    for (int i = 0; i < spatial; ++i) {
      Axis& axis = spatial == 1 ? w : (i == 0 ? h : w);
      axis = {src[2 + i],   weights[2 + i], dst[2 + i],
              p.strides[i], p.dilations[i], p.pads_begin[i]};
    }
  }

  int64_t src_plane() const { return h.src * w.src; }
  int64_t dst_plane() const { return h.dst * w.dst; }
  int64_t kernel_plane() const { return h.kernel * w.kernel; }

  int64_t batch;
  int64_t groups;
  int64_t src_channels;  // Per group.
  int64_t dst_channels;  // Per group.
  Axis h;
  Axis w;
};

// Calls visit(src, weight, dst) with three offsets for every product of two channel planes that
// start at these offsets.
template <typename Visit>
void ForEachTapOfPlane(const Geometry& g, int64_t src, int64_t weight, int64_t dst, Visit visit) {
  for (int64_t oh = 0; oh < g.h.dst; ++oh) {
    for (int64_t kh = 0; kh < g.h.kernel; ++kh) {
      const int64_t ih = g.h.SrcOf(oh, kh);
      if (ih < 0 || ih >= g.h.src) continue;
      for (int64_t ow = 0; ow < g.w.dst; ++ow) {
        for (int64_t kw = 0; kw < g.w.kernel; ++kw) {
          const int64_t iw = g.w.SrcOf(ow, kw);
          if (iw < 0 || iw >= g.w.src) continue;
          visit(src + ih * g.w.src + iw, weight + kh * g.w.kernel + kw, dst + oh * g.w.dst + ow);
        }
      }
    }
  }
}

// The same for every product of the convolution.
template <typename Visit>
void ForEachTap(const Geometry& g, Visit visit) {
  for (int64_t n = 0; n < g.batch; ++n) {
    for (int64_t group = 0; group < g.groups; ++group) {
      for (int64_t m = 0; m < g.dst_channels; ++m) {
        for (int64_t c = 0; c < g.src_channels; ++c) {
          const int64_t dst_channel = group * g.dst_channels + m;
          const int64_t src_channel = group * g.src_channels + c;
          ForEachTapOfPlane(g, (n * g.groups * g.src_channels + src_channel) * g.src_plane(),
                            (dst_channel * g.src_channels + c) * g.kernel_plane(),
                            (n * g.groups * g.dst_channels + dst_channel) * g.dst_plane(), visit);
        }
      }
    }
  }
}

// Tells whether the block of a weight counts, by the weight's offset.
class KeptWeights {
 public:
  KeptWeights(const ConvolutionParameters& p, const Geometry& g)
      : pattern_(p.pattern.get()), g_(g) {}

  bool operator()(int64_t weight) const {
    if (pattern_ == nullptr) return true;
    const int64_t tap = weight % g_.kernel_plane();
    const int64_t channel = weight / g_.kernel_plane() % g_.src_channels;
    const int64_t dst_channel = weight / (g_.kernel_plane() * g_.src_channels);
    return pattern_->Keeps(tap * g_.src_channels + channel, dst_channel % g_.dst_channels,
                           dst_channel / g_.dst_channels);
  }

 private:
  const BlockSparsePattern* pattern_;
  const Geometry& g_;
};

void Store(const std::vector<double>& sums, bool accumulate, float* dst) {
  for (size_t i = 0; i < sums.size(); ++i) {
    dst[i] = static_cast<float>(accumulate ? dst[i] + sums[i] : sums[i]);
  }
}

}  // namespace

void ConvolutionForward(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  const ConvolutionForwardOrder order(p);
  const Shape& dst_shape = op.operands[order.dst].shape;
  const Geometry g(p, op.operands[order.src].shape, op.operands[order.weights].shape, dst_shape);
  const float* src = F32(buffers, order.src);
  const float* weights = F32(buffers, order.weights);
  std::vector<double> sums(dst_shape.element_count());
  if (p.has_bias) {
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i] = F32(buffers, order.bias)[i / g.dst_plane() % dst_shape[1]];
    }
  }
  const KeptWeights kept(p, g);
  ForEachTap(g, [&](int64_t s, int64_t w, int64_t d) {
    if (kept(w)) sums[d] += double{src[s]} * weights[w];
  });
  if (p.fused_relu) {
    for (double& sum : sums) sum = std::max(sum, 0.0);
  }
  Store(sums, false, F32(buffers, order.dst));
}

void ConvolutionBackwardData(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  const Shape& src_shape = op.operands[2].shape;
  const Geometry g(p, src_shape, op.operands[1].shape, op.operands[0].shape);
  const float* d_dst = F32(buffers, 0);
  const float* weights = F32(buffers, 1);
  std::vector<double> sums(src_shape.element_count());
  const KeptWeights kept(p, g);
  ForEachTap(g, [&](int64_t s, int64_t w, int64_t d) {
    if (kept(w)) sums[s] += double{d_dst[d]} * weights[w];
  });
  Store(sums, p.accumulate, F32(buffers, 2));
}

void ConvolutionBackwardWeights(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  const ConvolutionBackwardWeightsOrder order(p);
  const Shape& weights_shape = op.operands[order.d_weights].shape;
  const Shape& dst_shape = op.operands[order.d_dst].shape;
  const Geometry g(p, op.operands[order.src].shape, weights_shape, dst_shape);
  const float* src = F32(buffers, order.src);
  const float* d_dst = F32(buffers, order.d_dst);
  float* d_weights = F32(buffers, order.d_weights);
  std::vector<double> sums(weights_shape.element_count());
  ForEachTap(g, [&](int64_t s, int64_t w, int64_t d) { sums[w] += double{d_dst[d]} * src[s]; });
  const KeptWeights kept(p, g);
  for (size_t i = 0; i < sums.size(); ++i) {
    if (!kept(static_cast<int64_t>(i))) sums[i] = p.accumulate ? 0.0 : d_weights[i];
  }
  Store(sums, p.accumulate, d_weights);
  if (!p.has_bias) return;
  std::vector<double> bias_sums(dst_shape[1]);
  for (int64_t i = 0; i < dst_shape.element_count(); ++i) {
    bias_sums[i / g.dst_plane() % dst_shape[1]] += d_dst[i];
  }
  Store(bias_sums, p.accumulate, F32(buffers, order.d_bias));
}

}  // namespace reference
}  // namespace topiary
