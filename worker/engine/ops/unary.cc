#include <utility>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

absl::StatusOr<UnaryParameters> ParametersOf(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  if (fused.gelu || node.op_type == "Gelu") return UnaryParameters{UnaryFunction::kGelu, 0, 0};
  if (node.op_type == "Erf") return UnaryParameters{UnaryFunction::kErf, 0, 0};
  if (node.op_type == "Relu") return UnaryParameters{UnaryFunction::kRelu, 0, 0};
  if (node.op_type == "Sigmoid") return UnaryParameters{UnaryFunction::kSigmoid, 0, 0};
  if (node.op_type == "Tanh") return UnaryParameters{UnaryFunction::kTanh, 0, 0};
  if (node.op_type == "LeakyRelu") {
    ASSIGN_OR_RETURN(const float alpha, ReadLeakyReluAlpha(node));
    // The backward pass tells the sign of src from that of dst.
    if (alpha < 0) return absl::UnimplementedError("a negative alpha is not supported");
    return UnaryParameters{UnaryFunction::kLeakyRelu, alpha, 0};
  }
  const auto bound = [&](size_t i) -> const Tensor* {
    return node.inputs.size() > i && !node.input(i).empty() ? l.Constant(node.input(i)) : nullptr;
  };
  ASSIGN_OR_RETURN(const ClipParams clip, ReadClip(bound(1), bound(2)));
  return UnaryParameters{UnaryFunction::kClip, clip.min, clip.max};
}

// Passes value and gradient on as they are.
absl::Status EmitIdentity(Lowering& l, const FusedNode& fused) {
  const std::string& src_name = l.node(fused).input(0);
  ASSIGN_OR_RETURN(const TensorRef src, l.Value(src_name));
  l.Finish(fused, src, [&l, fused, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Any()));
    return l.tape().DeliverShared(src_name, d_dst);
  });
  return absl::OkStatus();
}

}  // namespace

absl::Status LowerUnary(Lowering& l, const FusedNode& fused) {
  const std::string& src_name = l.node(fused).input(0);
  ASSIGN_OR_RETURN(const UnaryParameters p, ParametersOf(l, fused));
  ASSIGN_OR_RETURN(const TensorRef src, l.Value(src_name));
  const Operation operation{
      OpKind::kUnaryForward, p, {Keep(src)}, {{src.description, std::nullopt}}};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  if (DifferentiatesFromSource(p.function)) {
    l.AllowRecomputation(fused.result, operation);
  }
  const TensorRef& dst = results[0];
  const TensorRef from = DifferentiatesFromSource(p.function) ? src : dst;
  l.Finish(fused, dst, [&l, fused, p, dst, from, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, dst.layout()));
    return l.tape().EmitTerm(src_name, {OpKind::kUnaryBackward, p, {Keep(from), Keep(d_dst)}, {}},
                             dst.description);
  });
  return absl::OkStatus();
}

absl::Status LowerDropout(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const Tensor* ratio =
      node.inputs.size() > 1 && !node.input(1).empty() ? l.Constant(node.input(1)) : nullptr;
  DropoutParameters p;
  ASSIGN_OR_RETURN(p.ratio, ReadDropoutRatio(ratio));
  if (!l.options().training || p.ratio == 0) return EmitIdentity(l, fused);
  p.seed = l.options().seed;
  p.node = static_cast<uint64_t>(fused.index);
  p.scalars = l.options().scalars;
  const std::string& src_name = node.input(0);
  ASSIGN_OR_RETURN(const TensorRef src, l.PlainValue(src_name));
  ASSIGN_OR_RETURN(
      const std::vector<TensorRef> results,
      l.emitter().Emit(
          {OpKind::kDropoutForward, p, {Plain(src)}, {{src.description, std::nullopt}}}));
  l.Finish(fused, results[0], [&l, fused, p, src, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Plain()));
    return l.tape().EmitTerm(src_name, {OpKind::kDropoutBackward, p, {Plain(d_dst)}, {}},
                             src.description);
  });
  return absl::OkStatus();
}

absl::Status LowerSoftmax(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const std::string& src_name = node.input(0);
  ASSIGN_OR_RETURN(const TensorRef src, l.PlainValue(src_name));
  SoftmaxParameters p;
  ASSIGN_OR_RETURN(p.axis, ReadAxis(node, src.shape().rank()));
  p.log = node.op_type == "LogSoftmax";
  ASSIGN_OR_RETURN(
      const std::vector<TensorRef> results,
      l.emitter().Emit(
          {OpKind::kSoftmaxForward, p, {Plain(src)}, {{src.description, std::nullopt}}}));
  const TensorRef& dst = results[0];
  l.Finish(fused, dst, [&l, fused, p, dst, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Plain()));
    return l.tape().EmitTerm(
        src_name, {OpKind::kSoftmaxBackward, p, {Plain(dst), Plain(d_dst)}, {}}, dst.description);
  });
  return absl::OkStatus();
}

}  // namespace topiary
