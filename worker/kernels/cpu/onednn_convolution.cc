// Convolutions by oneDNN, in layouts of channel blocks.
//
// Weights that the caller wants plain are laid out anew inside the kernel: it is the
// same pass over memory that a reorder outside would be.
//
// Factors of another type are copies (see onednn_matmul.cc) in layouts of oneDNN's choice; so is
// the result, before it is laid out as the caller has it.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/onednn_kernel.h"
#include "worker/kernels/operand_order.h"

namespace topiary {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
constexpr auto kF32 = dnnl::memory::data_type::f32;
constexpr auto kDirect = dnnl::algorithm::convolution_direct;

// A convolution as oneDNN describes it.
struct Convolution {
  Desc src, weights, bias, dst;  // Layouts wished for; weights any.
  dnnl::memory::dims strides, dilations, pads_begin, pads_end;
};

bool IsDepthwise(const ConvolutionParameters& p, const Shape& src) {
  return p.groups > 1 && p.groups == src[1];
}

// What is given, or for any: blocks of channels, which every pass of a convolution and own kernels
// are fast on, where they fit without padding; the plain layout for the few channels of an image.
Desc ActivationDesc(const OneDnnContext& context, const ConvolutionParameters& p,
                    const TensorDescription& given, const Shape& src) {
  const Shape& shape = given.shape;
  const bool blocks_fit =
      shape[1] % context.channel_block == 0 &&
      (p.groups == 1 || IsDepthwise(p, src) || shape[1] / p.groups % context.channel_block == 0);
  bool single_pixel = true;
  for (int axis = 2; axis < shape.rank(); ++axis) single_pixel &= shape[axis] == 1;
  // A plain tensor of single pixels is in blocks as well.
  if (blocks_fit && (given.layout.is_any() || (given.layout.is_plain() && single_pixel))) {
    return ChannelBlockedDesc(shape, context.channel_block);
  }
  if (!given.layout.is_any()) return DescOf(given);
  if (p.groups == 1 && shape[1] <= 4) return PlainDesc(shape);
  return Desc(DimsOf(shape), kF32, Tag::any);
}

// [m, c / g, kernel], or [g, m / g, c / g, kernel] where there are groups.
dnnl::memory::dims WeightDims(const ConvolutionParameters& p, const Shape& weights) {
  dnnl::memory::dims dims = DimsOf(weights);
  if (p.groups > 1) {
    dims[0] /= p.groups;
    dims.insert(dims.begin(), p.groups);
  }
  return dims;
}

Desc PlainWeights(const ConvolutionParameters& p, const Shape& weights) {
  return PlainDesc(Shape(absl::MakeConstSpan(WeightDims(p, weights))));
}

Convolution Describe(const OneDnnContext& context, const ConvolutionParameters& p,
                     const TensorDescription& src, const Shape& weights,
                     const TensorDescription& dst) {
  Convolution c;
  c.src = ActivationDesc(context, p, src, src.shape);
  c.dst = ActivationDesc(context, p, dst, src.shape);
  c.weights = Desc(WeightDims(p, weights), kF32, Tag::any);
  if (p.has_bias) c.bias = Desc({weights[0]}, kF32, Tag::a);
  c.strides.assign(p.strides.begin(), p.strides.end());
  for (const int64_t dilation : p.dilations) c.dilations.push_back(dilation - 1);
  c.pads_begin.assign(p.pads_begin.begin(), p.pads_begin.end());
  c.pads_end.assign(p.pads_end.begin(), p.pads_end.end());
  return c;
}

dnnl::convolution_forward::primitive_desc ForwardDescription(const OneDnnContext& context,
                                                             const Convolution& c,
                                                             const dnnl::primitive_attr& with) {
  const auto kind = dnnl::prop_kind::forward_training;
  if (c.bias.get_size() > 0) {
    return {context.engine, kind,      kDirect,     c.src,        c.weights,  c.bias,
            c.dst,          c.strides, c.dilations, c.pads_begin, c.pads_end, with};
  }
  return {context.engine, kind,        kDirect,      c.src,      c.weights, c.dst,
          c.strides,      c.dilations, c.pads_begin, c.pads_end, with};
}

// Settles a weight operand: plain stays plain, any becomes `wanted`. Opaque must be it.
absl::StatusOr<TensorDescription> SettleWeights(const TensorDescription& given,
                                                const Desc& wanted) {
  if (given.layout.is_plain()) return given;
  const TensorDescription settled = DescribedBy(given.shape, given.dtype, wanted);
  if (!given.layout.is_any() && given != settled) {
    return absl::UnimplementedError(absl::StrCat("this convolution wants weights as ",
                                                 settled.layout.ToString(), ", not ",
                                                 given.layout.ToString()));
  }
  return settled;
}

// The memory of weight operand `index` as oneDNN wants it, laid out anew first if it is plain.
int ReadWeights(OneDnnKernelBuilder* builder, int index, const ConvolutionParameters& p,
                const TensorDescription& settled, const Desc& wanted) {
  if (!settled.layout.is_plain()) return builder->Operand(index, wanted);
  const Desc plain = PlainWeights(p, settled.shape);
  return builder->Reordered(builder->Operand(index, plain), plain, wanted);
}

TensorDescription Settled(const TensorDescription& given, const Desc& desc) {
  return given.layout.is_any() ? DescribedBy(given.shape, given.dtype, desc) : given;
}

// Settles what is left open where oneDNN reads and writes copies: activations in the layouts that
// own kernels are fast on too, weights plain.
void SettleForCopies(const OneDnnContext& context, const ConvolutionParameters& p,
                     TensorDescription* src, TensorDescription* weights, TensorDescription* dst) {
  if (!context.rounds_factors()) return;
  for (TensorDescription* activation : {src, dst}) {
    if (!activation->layout.is_any()) continue;
    const Desc wished = ActivationDesc(context, p, *activation, src->shape);
    *activation = wished.get_format_kind() == dnnl::memory::format_kind::any
                      ? TensorDescription{activation->shape, activation->dtype, Layout::Plain()}
                      : DescribedBy(activation->shape, activation->dtype, wished);
  }
  if (weights->layout.is_any()) weights->layout = Layout::Plain();
}

// `c` as it is asked of oneDNN for the pass that writes `result` and multiplies the two others.
Convolution Asked(const OneDnnContext& context, Convolution c, Desc Convolution::*result) {
  if (!context.rounds_factors()) return c;
  for (Desc Convolution::*tensor : {&Convolution::src, &Convolution::weights, &Convolution::dst}) {
    const auto type = tensor == result ? kF32 : context.factor_type;
    c.*tensor = Desc((c.*tensor).get_dims(), type, Tag::any);
  }
  return c;
}

// The forward pass that a backward one is described by.
dnnl::convolution_forward::primitive_desc ForwardHint(const OneDnnContext& context,
                                                      const Convolution& c) {
  return ForwardDescription(context, Asked(context, c, &Convolution::dst), ScratchpadFromUser());
}

// What `make` describes, with plain activations where oneDNN would have only its reference for the
// layouts of `c`: on AVX2 that is hundreds of times slower for the gradient of the weights of a
// first layer that sees one channel.
template <typename Make>
auto DescribeFast(const OneDnnContext& context, const Convolution& c, const Shape& src,
                  const Shape& dst, const Make& make) {
  const auto is_reference = [](const auto& description) {
    return absl::StartsWith(description.impl_info_str(), "ref");
  };
  auto description = make(c);
  // The layouts of copies were for it to choose.
  if (context.rounds_factors() || !is_reference(description)) return description;
  Convolution plain = c;
  plain.src = PlainDesc(src);
  plain.dst = PlainDesc(dst);
  auto other = make(plain);
  return is_reference(other) ? description : other;
}

// The memory of activation `index`, which lies there as `given` says (`own`, unless any layout was
// wished for), as oneDNN reads it.
int ReadActivation(OneDnnKernelBuilder* builder, int index, const TensorDescription& given,
                   const Desc& own, const Desc& wanted) {
  if (given.layout.is_any()) return builder->Operand(index, wanted);
  return builder->Reordered(builder->Operand(index, own), own, wanted);
}

// The same for one that is written: FinishActivation() follows the primitive that writes it.
int WriteActivation(OneDnnKernelBuilder* builder, int index, const TensorDescription& given,
                    const Desc& own, const Desc& written) {
  const bool same = given.layout.is_any() || own == written;
  return same ? builder->Operand(index, written) : builder->Temporary(written);
}

void FinishActivation(OneDnnKernelBuilder* builder, int index, const TensorDescription& given,
                      const Desc& own, int memory, const Desc& written) {
  if (given.layout.is_any() || own == written) return;
  builder->AddReorder(memory, written, builder->Operand(index, own), own);
}

}  // namespace

KernelOr PlanConvolutionForward(const OneDnnContext& context, const OpDescription& op) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  const ConvolutionForwardOrder order(p);
  std::vector<TensorDescription> operands = op.operands;
  SettleForCopies(context, p, &operands[order.src], &operands[order.weights], &operands[order.dst]);
  const Convolution c =
      Describe(context, p, operands[order.src], operands[order.weights].shape, operands[order.dst]);
  if (p.accumulate) return absl::UnimplementedError("a convolution that adds to its result");
  dnnl::primitive_attr with = ScratchpadFromUser();
  dnnl::post_ops post;
  if (p.fused_relu) post.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
  with.set_post_ops(post);
  const TensorDescription src = operands[order.src], dst = operands[order.dst];
  const auto description = DescribeFast(
      context, Asked(context, c, &Convolution::dst), src.shape, dst.shape,
      [&](const Convolution& asked) { return ForwardDescription(context, asked, with); });

  operands[order.src] = Settled(operands[order.src], description.src_desc());
  operands[order.dst] = Settled(operands[order.dst], description.dst_desc());
  ASSIGN_OR_RETURN(operands[order.weights],
                   SettleWeights(operands[order.weights], description.weights_desc()));
  OneDnnKernelBuilder builder(context);
  const int written = WriteActivation(&builder, order.dst, dst, c.dst, description.dst_desc());
  std::map<int, int> arguments = {
      {DNNL_ARG_SRC, ReadActivation(&builder, order.src, src, c.src, description.src_desc())},
      {DNNL_ARG_WEIGHTS, ReadWeights(&builder, order.weights, p, operands[order.weights],
                                     description.weights_desc())},
      {DNNL_ARG_DST, written}};
  if (p.has_bias) arguments[DNNL_ARG_BIAS] = builder.Operand(order.bias, c.bias);
  builder.Add(dnnl::convolution_forward(description), description.scratchpad_desc(), arguments);
  FinishActivation(&builder, order.dst, dst, c.dst, written, description.dst_desc());
  return builder.Build(std::move(operands));
}

KernelOr PlanConvolutionBackwardData(const OneDnnContext& context, const OpDescription& op) {
  ConvolutionParameters p = std::get<ConvolutionParameters>(op.parameters);
  if (p.accumulate) return absl::UnimplementedError("a convolution's gradient that adds to d_src");
  p.has_bias = false;
  enum { kDDst, kWeights, kDSrc };
  std::vector<TensorDescription> operands = op.operands;
  SettleForCopies(context, p, &operands[kDSrc], &operands[kWeights], &operands[kDDst]);
  const Convolution c =
      Describe(context, p, operands[kDSrc], operands[kWeights].shape, operands[kDDst]);
  const TensorDescription d_dst = operands[kDDst], d_src = operands[kDSrc];
  const auto make = [&](const Convolution& asked) {
    return dnnl::convolution_backward_data::primitive_desc(
        context.engine, kDirect, asked.src, asked.weights, asked.dst, c.strides, c.dilations,
        c.pads_begin, c.pads_end, ForwardHint(context, asked), ScratchpadFromUser());
  };
  const auto description =
      DescribeFast(context, Asked(context, c, &Convolution::src), d_src.shape, d_dst.shape, make);

  operands[kDDst] = Settled(operands[kDDst], description.diff_dst_desc());
  operands[kDSrc] = Settled(operands[kDSrc], description.diff_src_desc());
  ASSIGN_OR_RETURN(operands[kWeights],
                   SettleWeights(operands[kWeights], description.weights_desc()));
  OneDnnKernelBuilder builder(context);
  const int written = WriteActivation(&builder, kDSrc, d_src, c.src, description.diff_src_desc());
  const int read = ReadActivation(&builder, kDDst, d_dst, c.dst, description.diff_dst_desc());
  builder.Add(dnnl::convolution_backward_data(description), description.scratchpad_desc(),
              {{DNNL_ARG_DIFF_DST, read},
               {DNNL_ARG_WEIGHTS,
                ReadWeights(&builder, kWeights, p, operands[kWeights], description.weights_desc())},
               {DNNL_ARG_DIFF_SRC, written}});
  FinishActivation(&builder, kDSrc, d_src, c.src, written, description.diff_src_desc());
  return builder.Build(std::move(operands));
}

KernelOr PlanConvolutionBackwardWeights(const OneDnnContext& context, const OpDescription& op) {
  const auto& p = std::get<ConvolutionParameters>(op.parameters);
  if (p.accumulate)
    return absl::UnimplementedError("a convolution's gradient that adds to d_weights");
  const ConvolutionBackwardWeightsOrder order(p);
  std::vector<TensorDescription> operands = op.operands;
  SettleForCopies(context, p, &operands[order.src], &operands[order.d_weights],
                  &operands[order.d_dst]);
  const Convolution c = Describe(context, p, operands[order.src], operands[order.d_weights].shape,
                                 operands[order.d_dst]);
  const TensorDescription src = operands[order.src], d_dst = operands[order.d_dst];
  using Description = dnnl::convolution_backward_weights::primitive_desc;
  const auto make = [&](const Convolution& asked) {
    const auto forward = ForwardHint(context, asked);
    return p.has_bias ? Description(context.engine, kDirect, asked.src, asked.weights, c.bias,
                                    asked.dst, c.strides, c.dilations, c.pads_begin, c.pads_end,
                                    forward, ScratchpadFromUser())
                      : Description(context.engine, kDirect, asked.src, asked.weights, asked.dst,
                                    c.strides, c.dilations, c.pads_begin, c.pads_end, forward,
                                    ScratchpadFromUser());
  };
  const Description description =
      DescribeFast(context, Asked(context, c, &Convolution::weights), src.shape, d_dst.shape, make);

  operands[order.src] = Settled(operands[order.src], description.src_desc());
  operands[order.d_dst] = Settled(operands[order.d_dst], description.diff_dst_desc());
  const Desc wanted = description.diff_weights_desc();
  ASSIGN_OR_RETURN(operands[order.d_weights], SettleWeights(operands[order.d_weights], wanted));
  const Desc plain = PlainWeights(p, operands[order.d_weights].shape);
  const bool reorder = operands[order.d_weights].layout.is_plain() && plain != wanted;
  OneDnnKernelBuilder builder(context);
  const int d_weights =
      reorder ? builder.Temporary(wanted) : builder.Operand(order.d_weights, wanted);
  std::map<int, int> arguments = {
      {DNNL_ARG_SRC, ReadActivation(&builder, order.src, src, c.src, description.src_desc())},
      {DNNL_ARG_DIFF_DST,
       ReadActivation(&builder, order.d_dst, d_dst, c.dst, description.diff_dst_desc())},
      {DNNL_ARG_DIFF_WEIGHTS, d_weights}};
  if (p.has_bias) arguments[DNNL_ARG_DIFF_BIAS] = builder.Operand(order.d_bias, c.bias);
  builder.Add(dnnl::convolution_backward_weights(description), description.scratchpad_desc(),
              arguments);
  if (reorder) {
    builder.AddReorder(d_weights, wanted, builder.Operand(order.d_weights, plain), plain);
  }
  return builder.Build(std::move(operands));
}

}  // namespace topiary
