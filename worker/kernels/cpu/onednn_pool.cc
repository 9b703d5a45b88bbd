// Pooling by oneDNN.
#include "absl/strings/str_cat.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/onednn_kernel.h"

namespace topiary {
namespace {

using Desc = dnnl::memory::desc;
using Forward = dnnl::pooling_forward::primitive_desc;
using Backward = dnnl::pooling_backward::primitive_desc;

dnnl::algorithm AlgorithmOf(const PoolParameters& p) {
  if (p.kind == PoolKind::kMax) return dnnl::algorithm::pooling_max;
  return p.count_include_pad ? dnnl::algorithm::pooling_avg_include_padding
                             : dnnl::algorithm::pooling_avg_exclude_padding;
}

// What a kernel reads and writes, with equal layouts where both can have it.
struct Activations {
  Desc src;
  Desc dst;
};

// `small` is plain and its pixels are single ones: then blocks of channels are the same memory.
Desc AsPartner(const Desc& small, const TensorDescription& description,
               const TensorDescription& partner) {
  const auto layout = ChannelLayoutOf(partner);
  if (!layout || layout->kind != ChannelLayout::Kind::kBlocked) return small;
  const Desc blocked = ChannelBlockedDesc(description.shape, layout->block);
  return DescribedBy(description.shape, description.dtype, blocked).layout.is_plain() ? blocked
                                                                                      : small;
}

// The layout of the one given decides that of the other where that is any.
Activations Describe(const TensorDescription& src, const TensorDescription& dst) {
  Activations a = {DescOf(src), DescOf(dst)};
  if (dst.layout.is_plain()) a.dst = AsPartner(a.dst, dst, src);
  if (src.layout.is_plain()) a.src = AsPartner(a.src, src, dst);
  const auto follow = [](const TensorDescription& leader, const TensorDescription& follower,
                         Desc* desc) {
    if (!follower.layout.is_any()) return;
    const auto layout = ChannelLayoutOf(leader);
    if (layout && layout->kind == ChannelLayout::Kind::kBlocked) {
      *desc = ChannelBlockedDesc(follower.shape, layout->block);
    } else if (leader.layout.is_any() || leader.layout.is_plain()) {
      *desc = PlainDesc(follower.shape);
    }
  };
  follow(src, dst, &a.dst);
  follow(dst, src, &a.src);
  return a;
}

Forward ForwardDescription(const OneDnnContext& context, const PoolParameters& p,
                           const Activations& a) {
  const auto dims = [](const std::vector<int64_t>& v) {
    return dnnl::memory::dims(v.begin(), v.end());
  };
  dnnl::memory::dims dilations;
  for (const int64_t dilation : p.dilations) dilations.push_back(dilation - 1);
  const bool workspace = p.kind == PoolKind::kMax && p.training;
  return Forward(context.engine,
                 workspace ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference,
                 AlgorithmOf(p), a.src, a.dst, dims(p.strides), dims(p.kernel), dilations,
                 dims(p.pads_begin), dims(p.pads_end), ScratchpadFromUser());
}

// Padding that only ceil_mode added does not count in the divisor; oneDNN counts all or none.
bool CountsAllPadding(const PoolParameters& p) {
  return p.kind == PoolKind::kMax || !p.count_include_pad || p.counted_pads_end.empty() ||
         p.counted_pads_end == p.pads_end;
}

TensorDescription Settled(const TensorDescription& given, const Desc& desc) {
  return given.layout.is_any() ? DescribedBy(given.shape, given.dtype, desc) : given;
}

// The workspace of a max pool: opaque, whatever oneDNN makes it.
TensorDescription WorkspaceDescription(const TensorDescription& given, const Desc& desc) {
  return {given.shape, given.dtype, Layout::Opaque(std::make_shared<OneDnnLayout>(desc))};
}

}  // namespace

KernelOr PlanPoolForward(const OneDnnContext& context, const OpDescription& op) {
  const auto& p = std::get<PoolParameters>(op.parameters);
  if (!CountsAllPadding(p)) return absl::UnimplementedError("average pool with uncounted padding");
  std::vector<TensorDescription> operands = op.operands;
  const Forward description = ForwardDescription(context, p, Describe(operands[0], operands[1]));
  operands[0] = Settled(operands[0], description.src_desc());
  operands[1] = Settled(operands[1], description.dst_desc());
  OneDnnKernelBuilder builder(context);
  std::map<int, int> arguments = {{DNNL_ARG_SRC, builder.Operand(0, description.src_desc())},
                                  {DNNL_ARG_DST, builder.Operand(1, description.dst_desc())}};
  if (operands.size() > 2) {
    const Desc workspace = description.workspace_desc();
    operands[2] = WorkspaceDescription(operands[2], workspace);
    arguments[DNNL_ARG_WORKSPACE] = builder.Operand(2, workspace);
  }
  builder.Add(dnnl::pooling_forward(description), description.scratchpad_desc(), arguments);
  return builder.Build(std::move(operands));
}

KernelOr PlanPoolBackward(const OneDnnContext& context, const OpDescription& op) {
  PoolParameters p = std::get<PoolParameters>(op.parameters);
  if (!CountsAllPadding(p)) return absl::UnimplementedError("average pool with uncounted padding");
  p.training = true;
  std::vector<TensorDescription> operands = op.operands;
  const int d_src = static_cast<int>(operands.size()) - 1;
  const Activations a = Describe(operands[d_src], operands[0]);
  const Forward forward = ForwardDescription(context, p, a);
  const auto dims = [](const std::vector<int64_t>& v) {
    return dnnl::memory::dims(v.begin(), v.end());
  };
  dnnl::memory::dims dilations;
  for (const int64_t dilation : p.dilations) dilations.push_back(dilation - 1);
  const Backward description(context.engine, AlgorithmOf(p), forward.src_desc(), forward.dst_desc(),
                             dims(p.strides), dims(p.kernel), dilations, dims(p.pads_begin),
                             dims(p.pads_end), forward, ScratchpadFromUser());
  operands[0] = Settled(operands[0], description.diff_dst_desc());
  operands[d_src] = Settled(operands[d_src], description.diff_src_desc());
  OneDnnKernelBuilder builder(context);
  std::map<int, int> arguments = {
      {DNNL_ARG_DIFF_DST, builder.Operand(0, description.diff_dst_desc())},
      {DNNL_ARG_DIFF_SRC, builder.Operand(d_src, description.diff_src_desc())}};
  if (d_src == 2) {
    const Desc workspace = forward.workspace_desc();
    if (operands[1] != WorkspaceDescription(operands[1], workspace)) {
      return absl::UnimplementedError("max pool backward in another layout than forward");
    }
    arguments[DNNL_ARG_WORKSPACE] = builder.Operand(1, workspace);
  }
  builder.Add(dnnl::pooling_backward(description), description.scratchpad_desc(), arguments);
  return builder.Build(std::move(operands));
}

}  // namespace topiary
