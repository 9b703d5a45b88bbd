#include "common/status_macros.h"
#include "worker/engine/layer_work.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

struct ConvolutionTensors {
  TensorRef src;
  TensorRef weights;
  TensorRef dst;
  bool has_bias;
};

absl::Status EmitBackwardWeights(Lowering& l, const Node& node, ConvolutionParameters p,
                                 const ConvolutionTensors& t, const TensorRef& d_dst) {
  GradientTape& tape = l.tape();
  const bool bias = t.has_bias && tape.Requires(node.input(2));
  if (!tape.Requires(node.input(1)) && !bias) return absl::OkStatus();
  p.has_bias = bias;
  ASSIGN_OR_RETURN(const TensorRef src, l.ForBackward(node.input(0), t.src));
  Operation operation{OpKind::kConvolutionBackwardWeights, p, {Free(src), Free(d_dst)}, {}};
  operation.outputs.push_back(
      tape.Output(node.input(1), {t.weights.shape(), DType::kFloat32, Layout::Any()}));
  if (bias) {
    operation.outputs.push_back(
        tape.Output(node.input(2), {Shape({d_dst.shape()[1]}), DType::kFloat32, Layout::Plain()}));
  }
  ASSIGN_OR_RETURN(const std::vector<TensorRef> gradients, l.emitter().Emit(operation));
  RETURN_IF_ERROR(tape.Deliver(node.input(1), gradients[0]));
  return bias ? tape.Deliver(node.input(2), gradients[1]) : absl::OkStatus();
}

absl::Status EmitBackwardData(Lowering& l, const Node& node, const ConvolutionParameters& p,
                              const ConvolutionTensors& t, const TensorRef& d_dst) {
  if (!l.tape().Requires(node.input(0))) return absl::OkStatus();
  ConvolutionParameters accumulating = p;
  accumulating.accumulate = true;
  return l.tape().EmitTerm(
      node.input(0), {OpKind::kConvolutionBackwardData, p, {Free(d_dst), Free(t.weights)}, {}},
      {t.src.shape(), DType::kFloat32, Layout::Any()}, accumulating);
}

}  // namespace

absl::Status LowerConv(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  ConvolutionTensors t;
  ASSIGN_OR_RETURN(t.src, l.Value(node.input(0)));
  ASSIGN_OR_RETURN(t.weights, l.Value(node.input(1)));
  t.has_bias = node.inputs.size() > 2 && !node.input(2).empty();
  ASSIGN_OR_RETURN(const ConvParams params, ReadConv(node, t.src.shape(), t.weights.shape()));
  ConvolutionParameters p = ConvolutionParametersOf(params);
  const Shape& weights = t.weights.shape();
  int64_t inputs = 1;
  for (int axis = 1; axis < weights.rank(); ++axis) inputs *= weights[axis];
  p.pattern = l.PatternOf(node.input(1), params.group, inputs, weights[0] / params.group);

  ConvolutionParameters forward = p;
  forward.has_bias = t.has_bias;
  const ConvolutionParameters without = forward;
  forward.fused_relu = fused.relu;
  Operation operation{OpKind::kConvolutionForward, forward, {Free(t.src), Free(t.weights)}, {}};
  if (t.has_bias) {
    ASSIGN_OR_RETURN(const TensorRef bias, l.PlainValue(node.input(2)));
    operation.inputs.push_back(Plain(bias));
  }
  operation.outputs = {NewTensor(l.ShapeOf(fused.result), Layout::Any())};
  ASSIGN_OR_RETURN(t.dst, l.EmitWithRelu(operation, without));

  l.Finish(fused, t.dst, [&l, &node, fused, p, t]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.GradientBeforeRelu(fused, t.dst, Layout::Any()));
    RETURN_IF_ERROR(EmitBackwardWeights(l, node, p, t, d_dst));
    return EmitBackwardData(l, node, p, t, d_dst);
  });
  return absl::OkStatus();
}

}  // namespace topiary
