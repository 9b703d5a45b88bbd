#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Seen as the matrix [rows, n] whose rows are normalized.
struct LayerNormTensors {
  TensorRef src;
  TensorRef scale;
  TensorRef bias;  // If there is one.
  TensorRef saved_mean;
  TensorRef saved_inverse_std;
};

absl::Status EmitBackward(Lowering& l, const FusedNode& fused, const LayerNormParameters& p,
                          const LayerNormTensors& t, const Shape& shape) {
  const Node& node = l.node(fused);
  ASSIGN_OR_RETURN(const TensorRef gradient, l.tape().Total(fused.result, Layout::Plain()));
  ASSIGN_OR_RETURN(const TensorRef d_dst, l.emitter().View(gradient, t.src.shape()));
  Operation operation{
      OpKind::kLayerNormBackward,
      p,
      {Plain(t.src), Plain(d_dst), Plain(t.scale), Plain(t.saved_mean), Plain(t.saved_inverse_std)},
      {NewTensor(t.src.shape(), Layout::Plain())}};
  const TensorDescription vector{t.scale.shape(), DType::kFloat32, Layout::Plain()};
  operation.outputs.push_back(l.tape().Output(node.input(1), vector));
  if (p.has_bias) operation.outputs.push_back(l.tape().Output(node.input(2), vector));
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  ASSIGN_OR_RETURN(const TensorRef d_src, l.emitter().View(results[0], shape));
  RETURN_IF_ERROR(l.tape().Deliver(node.input(0), d_src));
  RETURN_IF_ERROR(l.tape().Deliver(node.input(1), results[1]));
  return p.has_bias ? l.tape().Deliver(node.input(2), results[2]) : absl::OkStatus();
}

}  // namespace

absl::Status LowerLayerNormalization(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const Shape shape = l.ShapeOf(fused.result);
  ASSIGN_OR_RETURN(const LayerNormParams params, ReadLayerNorm(node, shape.rank()));
  const Shape normalized(absl::MakeConstSpan(shape.dims()).subspan(params.axis));
  const int64_t n = normalized.element_count();
  const Shape rows({n == 0 ? 0 : shape.element_count() / n}), vector({n});
  const Shape matrix({rows[0], n});
  LayerNormParameters p;
  p.epsilon = params.epsilon;
  p.has_bias = node.inputs.size() > 2 && !node.input(2).empty();

  LayerNormTensors t;
  ASSIGN_OR_RETURN(const TensorRef src, l.PlainValue(node.input(0)));
  ASSIGN_OR_RETURN(t.src, l.emitter().View(src, matrix));
  ASSIGN_OR_RETURN(const TensorRef scale, l.PlainValue(node.input(1)));
  ASSIGN_OR_RETURN(t.scale, l.emitter().View(scale, vector));
  Operation operation{OpKind::kLayerNormForward, p, {Plain(t.src), Plain(t.scale)}, {}};
  if (p.has_bias) {
    ASSIGN_OR_RETURN(const TensorRef bias, l.PlainValue(node.input(2)));
    ASSIGN_OR_RETURN(t.bias, l.emitter().View(bias, vector));
    operation.inputs.push_back(Plain(t.bias));
  }
  for (const Shape& result : {matrix, rows, rows}) {
    operation.outputs.push_back(NewTensor(result, Layout::Plain()));
  }
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  t.saved_mean = results[1];
  t.saved_inverse_std = results[2];
  ASSIGN_OR_RETURN(const TensorRef dst, l.emitter().View(results[0], shape));
  l.Finish(fused, dst, [&l, fused, p, t, shape] { return EmitBackward(l, fused, p, t, shape); });
  return absl::OkStatus();
}

}  // namespace topiary
