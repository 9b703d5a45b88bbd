#include <utility>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

struct BatchNormTensors {
  TensorRef src;
  TensorRef scale;
  TensorRef bias;
  TensorRef mean;
  TensorRef variance;
  TensorRef residual;  // If there is one.
  TensorRef dst;
  TensorRef saved_mean;
  TensorRef saved_inverse_std;
};

absl::StatusOr<BatchNormTensors> ReadOperands(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  BatchNormTensors t;
  ASSIGN_OR_RETURN(t.src, l.Value(node.input(0)));
  ASSIGN_OR_RETURN(t.scale, l.PlainValue(node.input(1)));
  ASSIGN_OR_RETURN(t.bias, l.PlainValue(node.input(2)));
  ASSIGN_OR_RETURN(t.mean, l.Statistic(node.input(3)));
  ASSIGN_OR_RETURN(t.variance, l.Statistic(node.input(4)));
  if (!fused.residual.empty()) {
    ASSIGN_OR_RETURN(t.residual, l.Value(fused.residual));
  }
  return t;
}

// The forward operation with the fusions that `p` has.
Operation ForwardOperation(const BatchNormParameters& p, bool training, const BatchNormTensors& t) {
  Operation operation{
      training ? OpKind::kBatchNormForwardTraining : OpKind::kBatchNormForwardInference,
      p,
      {Keep(t.src), Plain(t.scale), Plain(t.bias), Plain(t.mean), Plain(t.variance)},
      {{t.src.description, std::nullopt}}};
  if (p.fused_add) operation.inputs.push_back({t.residual, t.src.layout()});
  const Shape channels({t.src.shape()[1]});
  if (training) {
    operation.outputs.push_back(NewTensor(channels, Layout::Plain()));
    operation.outputs.push_back(NewTensor(channels, Layout::Plain()));
  }
  return operation;
}

// relu(src + residual) where the backend does not fuse it.
absl::StatusOr<TensorRef> AddAndRectify(Lowering& l, const TensorRef& src,
                                        const BatchNormTensors& t, const FusedNode& fused) {
  const TensorDescription& description = src.description;
  if (fused.residual.empty()) {
    ASSIGN_OR_RETURN(const std::vector<TensorRef> dst,
                     l.emitter().Emit({OpKind::kUnaryForward,
                                       UnaryParameters(),
                                       {Keep(src)},
                                       {{description, std::nullopt}}}));
    return dst[0];
  }
  BinaryParameters add;
  add.fused_relu = fused.relu;
  return l.EmitWithRelu({OpKind::kBinary,
                         add,
                         {Keep(src), {t.residual, src.layout()}},
                         {{description, std::nullopt}}},
                        BinaryParameters());
}

absl::Status EmitForward(Lowering& l, const FusedNode& fused, BatchNormParameters p,
                         BatchNormTensors* t) {
  const bool training = l.options().training;
  p.fused_relu = fused.relu;
  p.fused_add = !fused.residual.empty();
  absl::StatusOr<std::vector<TensorRef>> results =
      l.emitter().Emit(ForwardOperation(p, training, *t));
  const bool refused = absl::IsUnimplemented(results.status()) && (p.fused_relu || p.fused_add);
  if (refused) {
    p.fused_relu = p.fused_add = false;
    results = l.emitter().Emit(ForwardOperation(p, training, *t));
  }
  RETURN_IF_ERROR(results.status());
  t->dst = (*results)[0];
  if (training) {
    t->saved_mean = (*results)[1];
    t->saved_inverse_std = (*results)[2];
  }
  if (refused) {
    ASSIGN_OR_RETURN(t->dst, AddAndRectify(l, t->dst, *t, fused));
  } else if (training && !p.fused_add) {
    l.AllowRecomputation(fused.result, {OpKind::kBatchNormForwardAgain,
                                        p,
                                        {Keep(t->src), Plain(t->scale), Plain(t->bias),
                                         Plain(t->saved_mean), Plain(t->saved_inverse_std)},
                                        {{t->dst.description, std::nullopt}}});
  }
  return absl::OkStatus();
}

// The backward operation over `gradients`, the terms of d_dst that the kernel is to add.
Operation BackwardOperation(Lowering& l, const Node& node, const BatchNormParameters& p,
                            const BatchNormTensors& t, const std::vector<TensorRef>& gradients) {
  Operation operation{OpKind::kBatchNormBackward, p, {Keep(t.src)}, {}};
  const Layout& layout = t.src.layout();
  if (p.fused_relu) operation.inputs.push_back({t.dst, layout});
  for (const TensorRef& gradient : gradients) operation.inputs.push_back({gradient, layout});
  for (const TensorRef* ref : {&t.scale, &t.saved_mean, &t.saved_inverse_std}) {
    operation.inputs.push_back(Plain(*ref));
  }
  const TensorDescription channels{Shape({t.src.shape()[1]}), DType::kFloat32, Layout::Plain()};
  operation.outputs = {{t.src.description, std::nullopt},
                       l.tape().Output(node.input(1), channels),
                       l.tape().Output(node.input(2), channels)};
  if (p.fused_add) operation.outputs.push_back({t.src.description, std::nullopt});
  return operation;
}

absl::Status DeliverGradients(Lowering& l, const Node& node,
                              const std::vector<TensorRef>& results) {
  RETURN_IF_ERROR(l.tape().Deliver(node.input(0), results[0]));
  RETURN_IF_ERROR(l.tape().Deliver(node.input(1), results[1]));
  return l.tape().Deliver(node.input(2), results[2]);
}

// The sum of `gradients` where dst > 0, for a backend without the fusions.
absl::StatusOr<TensorRef> Rectified(Lowering& l, const BatchNormTensors& t,
                                    const std::vector<TensorRef>& gradients, bool relu) {
  TensorRef gradient = gradients[0];
  const TensorDescription& description = gradient.description;
  if (gradients.size() == 2) {
    ASSIGN_OR_RETURN(const std::vector<TensorRef> sum,
                     l.emitter().Emit({OpKind::kBinary,
                                       BinaryParameters(),
                                       {Keep(gradients[0]), Keep(gradients[1])},
                                       {{description, std::nullopt}}}));
    gradient = sum[0];
  }
  if (!relu) return gradient;
  ASSIGN_OR_RETURN(const std::vector<TensorRef> rectified,
                   l.emitter().Emit({OpKind::kUnaryBackward,
                                     UnaryParameters(),
                                     {{t.dst, gradient.layout()}, Keep(gradient)},
                                     {{description, std::nullopt}}}));
  return rectified[0];
}

absl::Status EmitBackward(Lowering& l, const FusedNode& fused, BatchNormParameters p,
                          BatchNormTensors t) {
  const Node& node = l.node(fused);
  if (fused.relu) {
    ASSIGN_OR_RETURN(t.dst, l.ForBackward(fused.result, t.dst));
  }
  ASSIGN_OR_RETURN(const std::vector<TensorRef> gradients,
                   l.tape().Terms(fused.result, t.src.layout()));
  p.fused_relu = fused.relu;
  p.fused_add = !fused.residual.empty() && l.tape().Requires(fused.residual);
  p.sum_d_dst = gradients.size() == 2;
  const auto results = l.emitter().Emit(BackwardOperation(l, node, p, t, gradients));
  if (results.ok()) {
    RETURN_IF_ERROR(DeliverGradients(l, node, *results));
    return p.fused_add ? l.tape().Deliver(fused.residual, (*results)[3]) : absl::OkStatus();
  }
  if (!absl::IsUnimplemented(results.status())) return results.status();
  ASSIGN_OR_RETURN(const TensorRef gradient, Rectified(l, t, gradients, fused.relu));
  const bool residual = p.fused_add;
  p.fused_relu = p.fused_add = p.sum_d_dst = false;
  ASSIGN_OR_RETURN(const std::vector<TensorRef> unfused,
                   l.emitter().Emit(BackwardOperation(l, node, p, t, {gradient})));
  RETURN_IF_ERROR(DeliverGradients(l, node, unfused));
  return residual ? l.tape().DeliverShared(fused.residual, gradient) : absl::OkStatus();
}

}  // namespace

absl::Status LowerBatchNormalization(Lowering& l, const FusedNode& fused) {
  ASSIGN_OR_RETURN(const BatchNormParams params, ReadBatchNorm(l.node(fused)));
  ASSIGN_OR_RETURN(BatchNormTensors t, ReadOperands(l, fused));
  BatchNormParameters p;
  p.epsilon = params.epsilon;
  p.momentum = params.momentum;
  p.scalars = l.options().scalars;
  RETURN_IF_ERROR(EmitForward(l, fused, p, &t));
  l.Finish(fused, t.dst, [&l, fused, p, t] { return EmitBackward(l, fused, p, t); });
  return absl::OkStatus();
}

}  // namespace topiary
