// kMatMul by oneDNN's matmul. Operands are plain: on row-major operands it is
// within a few percent of blocked ones, and nothing has to be laid out anew.
//
// Factors of another type are copies in the same layout. oneDNN has a mode that rounds float32
// itself (fpmath), but takes it as a permission: without AMX it multiplies float32 all the same.
#include "absl/strings/str_cat.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/onednn_kernel.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// Plain memory of `shape`, read with its last two axes swapped if `transpose`.
dnnl::memory::desc MatrixDesc(const Shape& shape, bool transpose) {
  dnnl::memory::desc desc = PlainDesc(shape);
  if (!transpose) return desc;
  std::vector<int> permutation(shape.rank());
  for (int axis = 0; axis < shape.rank(); ++axis) permutation[axis] = axis;
  std::swap(permutation[shape.rank() - 1], permutation[shape.rank() - 2]);
  return desc.permute_axes(permutation);
}

// The bias as a row: [1, .., 1, columns].
dnnl::memory::desc BiasDesc(const Shape& dst) {
  dnnl::memory::dims dims(dst.rank(), 1);
  dims.back() = dst[dst.rank() - 1];
  return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, dnnl::memory::dims(dst.rank(), 1));
}

// oneDNN adds its own bias before post-ops: with alpha the bias is a post-op itself.
struct Attributes {
  dnnl::primitive_attr attributes = ScratchpadFromUser();
  int bias_argument = -1;
};

Attributes AttributesFor(const MatMulParameters& p, const dnnl::memory::desc& bias) {
  Attributes result;
  dnnl::post_ops post;
  if (p.alpha != 1) post.append_eltwise(dnnl::algorithm::eltwise_linear, p.alpha, 0);
  if (p.has_bias && p.alpha != 1) {
    post.append_binary(dnnl::algorithm::binary_add, bias);
    result.bias_argument = DNNL_ARG_ATTR_MULTIPLE_POST_OP(post.len() - 1) | DNNL_ARG_SRC_1;
  } else if (p.has_bias) {
    result.bias_argument = DNNL_ARG_BIAS;
  }
  if (p.accumulate) post.append_sum();
  if (p.fused_relu) post.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
  result.attributes.set_post_ops(post);
  return result;
}

// Products of fewer multiplications stay on one core: a second one hardly helps them, and what
// comes before and after, such as the update of the weights, would find half of its data in
// the other core's cache.
constexpr int64_t kOneCore = 4000000;

int ThreadsFor(const MatMulParameters& p, const Shape& a, const Shape& dst, int threads) {
  const int64_t inner = a[a.rank() - (p.transpose_a ? 2 : 1)];
  return dst.element_count() * inner < kOneCore ? 1 : threads;
}

// Before AVX-512 oneDNN reads b in place where it does not copy it, as for a few hundred rows, and
// at twice the time where the rows of b are a multiple of 2048 bytes apart, which push each other
// out of the cache. Copied with padded rows it takes as long as any other, the copy included.
bool WantsPaddedRows(const OneDnnContext& context, const MatMulParameters& p, const Shape& b,
                     const Shape& dst) {
  constexpr int64_t kFewestRows = 32, kMostRows = 512, kBadStride = 512;
  return context.channel_block == 8 && b.rank() == 2 && !p.transpose_b && b[1] % kBadStride == 0 &&
         dst[0] >= kFewestRows && dst[0] <= kMostRows;
}

dnnl::memory::desc WithPaddedRows(const Shape& matrix) {
  constexpr int64_t kPadding = 16;
  return dnnl::memory::desc({matrix[0], matrix[1]}, dnnl::memory::data_type::f32,
                            dnnl::memory::dims{matrix[1] + kPadding, 1});
}

// `desc`, which has no blocks, with elements of `type`.
dnnl::memory::desc WithType(const dnnl::memory::desc& desc, dnnl::memory::data_type type) {
  if (desc.get_data_type() == type) return desc;
  return dnnl::memory::desc(desc.get_dims(), type, desc.get_strides());
}

}  // namespace

KernelOr PlanMatMul(const OneDnnContext& shared, const OpDescription& op) {
  const auto& p = std::get<MatMulParameters>(op.parameters);
  const MatMulOrder order(p);
  if (p.has_residual || p.fused_gelu) {
    return absl::UnimplementedError("a dense product with a residual or Gelu");
  }
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain()) {
      return absl::UnimplementedError(
          absl::StrCat("MatMul takes plain operands, not ", operand.layout.ToString()));
    }
  }
  OneDnnContext context = shared;
  context.threads =
      ThreadsFor(p, operands[order.a].shape, operands[order.dst].shape, shared.threads);
  UseThreads(context.threads);
  const auto given_a = MatrixDesc(operands[order.a].shape, p.transpose_a);
  const auto a = WithType(given_a, context.factor_type);
  const Shape& b_shape = operands[order.b].shape;
  const auto given_b = MatrixDesc(b_shape, p.transpose_b);
  const auto b = WithType(WantsPaddedRows(context, p, b_shape, operands[order.dst].shape)
                              ? WithPaddedRows(b_shape)
                              : given_b,
                          context.factor_type);
  const auto dst = PlainDesc(operands[order.dst].shape);
  const auto bias = BiasDesc(operands[order.dst].shape);
  const Attributes with = AttributesFor(p, bias);
  const dnnl::matmul::primitive_desc description =
      with.bias_argument == DNNL_ARG_BIAS
          ? dnnl::matmul::primitive_desc(context.engine, a, b, bias, dst, with.attributes)
          : dnnl::matmul::primitive_desc(context.engine, a, b, dst, with.attributes);

  OneDnnKernelBuilder builder(context);
  std::map<int, int> arguments = {
      {DNNL_ARG_SRC, builder.Reordered(builder.Operand(order.a, given_a), given_a, a)},
      {DNNL_ARG_WEIGHTS, builder.Reordered(builder.Operand(order.b, given_b), given_b, b)},
      {DNNL_ARG_DST, builder.Operand(order.dst, dst)}};
  if (p.has_bias) arguments[with.bias_argument] = builder.Operand(order.bias, bias);
  builder.Add(dnnl::matmul(description), description.scratchpad_desc(), arguments);
  return builder.Build(std::move(operands));
}

}  // namespace topiary
