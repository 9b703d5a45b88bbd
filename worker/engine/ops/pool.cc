#include <utility>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

PoolParameters ParametersOf(const PoolParams& params, PoolKind kind) {
  PoolParameters p;
  p.kind = kind;
  p.kernel = params.window.kernel;
  p.strides = params.window.strides;
  p.dilations = params.window.dilations;
  p.pads_begin = params.window.pads_begin;
  p.pads_end = params.window.pads_end;
  p.count_include_pad = params.count_include_pad;
  p.counted_pads_end = params.explicit_pads_end;
  return p;
}

absl::Status EmitPool(Lowering& l, const FusedNode& fused, PoolParameters p) {
  const std::string& src_name = l.node(fused).input(0);
  ASSIGN_OR_RETURN(const TensorRef src, l.Value(src_name));
  p.training = l.tape().Requires(src_name);
  const bool workspace = p.kind == PoolKind::kMax && p.training;
  Operation operation{
      OpKind::kPoolForward, p, {Keep(src)}, {NewTensor(l.ShapeOf(fused.result), Layout::Any())}};
  if (workspace) {
    operation.outputs.push_back({{Shape({0}), DType::kUint8, Layout::Any()}, std::nullopt});
  }
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  l.Finish(fused, results[0], [&l, fused, p, src, results, src_name]() -> absl::Status {
    const TensorRef& dst = results[0];
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, dst.layout()));
    Operation backward{OpKind::kPoolBackward, p, {Keep(d_dst)}, {}};
    if (results.size() == 2) backward.inputs.push_back(Keep(results[1]));
    return l.tape().EmitTerm(src_name, std::move(backward), src.description);
  });
  return absl::OkStatus();
}

}  // namespace

absl::Status LowerPool(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  ASSIGN_OR_RETURN(const PoolParams params, ReadPool(node, l.ShapeOf(node.input(0))));
  const PoolKind kind = node.op_type == "MaxPool" ? PoolKind::kMax : PoolKind::kAverage;
  return EmitPool(l, fused, ParametersOf(params, kind));
}

absl::Status LowerGlobalAveragePool(Lowering& l, const FusedNode& fused) {
  const Shape& src = l.ShapeOf(l.node(fused).input(0));
  PoolParameters p;
  p.kind = PoolKind::kAverage;
  p.kernel.assign(src.dims().begin() + 2, src.dims().end());
  const size_t spatial = p.kernel.size();
  p.strides.assign(spatial, 1);
  p.dilations.assign(spatial, 1);
  p.pads_begin.assign(spatial, 0);
  p.pads_end.assign(spatial, 0);
  p.counted_pads_end.assign(spatial, 0);
  return EmitPool(l, fused, p);
}

}  // namespace topiary
