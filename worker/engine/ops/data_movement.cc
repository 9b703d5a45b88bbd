#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {

// Flatten, Reshape, Squeeze, Unsqueeze, Identity, and Cast to float32: no step at all where the
// operand is plain or keeps its shape.
absl::Status LowerView(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const std::string& src_name = node.input(0);
  if (node.op_type == "Cast") {
    ASSIGN_OR_RETURN(const DType to, ReadCastTarget(node));
    if (to != DType::kFloat32) {
      return absl::UnimplementedError("only Cast from float32 to float32 can run on a batch");
    }
  }
  ASSIGN_OR_RETURN(const TensorRef src, l.Value(src_name));
  ASSIGN_OR_RETURN(const TensorRef dst, l.emitter().View(src, l.ShapeOf(fused.result)));
  l.Finish(fused, dst, [&l, fused, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Any()));
    return l.tape().DeliverShared(src_name, d_dst);
  });
  return absl::OkStatus();
}

absl::Status LowerTranspose(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const std::string& src_name = node.input(0);
  ASSIGN_OR_RETURN(const TensorRef src, l.PlainValue(src_name));
  TransposeParameters p;
  ASSIGN_OR_RETURN(p.permutation, ReadPermutation(node, src.shape().rank()));
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results,
                   l.emitter().Emit({OpKind::kTranspose,
                                     p,
                                     {Plain(src)},
                                     {NewTensor(l.ShapeOf(fused.result), Layout::Plain())}}));
  TransposeParameters inverse;
  inverse.permutation.resize(p.permutation.size());
  for (size_t i = 0; i < p.permutation.size(); ++i) {
    inverse.permutation[p.permutation[i]] = static_cast<int>(i);
  }
  l.Finish(fused, results[0], [&l, fused, inverse, src, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, Layout::Plain()));
    return l.tape().EmitTerm(src_name, {OpKind::kTranspose, inverse, {Plain(d_dst)}, {}},
                             src.description);
  });
  return absl::OkStatus();
}

absl::Status LowerConcat(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const Shape& dst_shape = l.ShapeOf(fused.result);
  ConcatParameters p;
  ASSIGN_OR_RETURN(p.axis, ReadAxis(node, dst_shape.rank()));
  Operation operation{OpKind::kConcat, p, {}, {}};
  for (const std::string& input : node.inputs) {
    ASSIGN_OR_RETURN(TensorRef src, l.Value(input));
    // Each as it lies: the backend joins them if their layouts suit it.
    const Layout layout = src.layout();
    operation.inputs.push_back({std::move(src), layout});
  }
  operation.outputs = {NewTensor(dst_shape, Layout::Any())};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results, l.emitter().Emit(operation));
  const TensorRef& dst = results[0];
  l.Finish(fused, dst, [&l, &node, fused, p, dst, inputs = operation.inputs]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.tape().Total(fused.result, dst.layout()));
    Operation split{OpKind::kSplit, p, {Keep(d_dst)}, {}};
    for (const OperationInput& input : inputs) {
      split.outputs.push_back({{input.ref.shape(), DType::kFloat32, input.layout}, std::nullopt});
    }
    ASSIGN_OR_RETURN(const std::vector<TensorRef> gradients, l.emitter().Emit(split));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      RETURN_IF_ERROR(l.tape().Deliver(node.inputs[i], gradients[i]));
    }
    return absl::OkStatus();
  });
  return absl::OkStatus();
}

namespace {

// Of a table with a row for each id, of which a step reads few.
absl::Status LowerEmbedding(Lowering& l, const FusedNode& fused, EmbeddingRows* table) {
  ASSIGN_OR_RETURN(const TensorRef all, l.PlainValue(l.node(fused).input(1)));
  const int64_t k = all.shape().element_count();
  ASSIGN_OR_RETURN(const TensorRef indices, l.emitter().View(all, Shape({k})));
  const Shape picked({k, table->width});
  EmbeddingParameters p;
  p.table = table;
  ASSIGN_OR_RETURN(
      const std::vector<TensorRef> results,
      l.emitter().Emit(
          {OpKind::kEmbeddingForward, p, {Plain(indices)}, {NewTensor(picked, Layout::Plain())}}));
  ASSIGN_OR_RETURN(const TensorRef dst, l.emitter().View(results[0], l.ShapeOf(fused.result)));
  l.Finish(fused, dst, [&l, fused, indices, picked, p]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef total, l.tape().Total(fused.result, Layout::Plain()));
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.emitter().View(total, picked));
    return l.emitter()
        .Emit({OpKind::kEmbeddingBackward, p, {Plain(d_dst), Plain(indices)}, {}})
        .status();
  });
  return absl::OkStatus();
}

}  // namespace

// As [outer, n, inner] and [outer, k, inner], whatever the rank of the operands.
absl::Status LowerGather(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const std::string& src_name = node.input(0);
  if (EmbeddingRows* table = l.RowsOf(src_name)) return LowerEmbedding(l, fused, table);
  ASSIGN_OR_RETURN(const TensorRef whole, l.PlainValue(src_name));
  ASSIGN_OR_RETURN(const TensorRef all, l.PlainValue(node.input(1)));
  const Shape& shape = whole.shape();
  ASSIGN_OR_RETURN(const int axis, ReadAxis(node, shape.rank()));
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
  const int64_t k = all.shape().element_count();
  const Shape rows({outer, shape[axis], inner}), picked({outer, k, inner});
  ASSIGN_OR_RETURN(const TensorRef src, l.emitter().View(whole, rows));
  ASSIGN_OR_RETURN(const TensorRef indices, l.emitter().View(all, Shape({k})));
  const TensorDescription result{picked, src.description.dtype, Layout::Plain()};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> results,
                   l.emitter().Emit({OpKind::kGather,
                                     OpParameters(),
                                     {Plain(src), Plain(indices)},
                                     {{result, std::nullopt}}}));
  ASSIGN_OR_RETURN(const TensorRef dst, l.emitter().View(results[0], l.ShapeOf(fused.result)));
  l.Finish(fused, dst, [&l, fused, src, indices, picked, src_name]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef total, l.tape().Total(fused.result, Layout::Plain()));
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.emitter().View(total, picked));
    return l.tape().EmitTerm(
        src_name, {OpKind::kGatherBackward, OpParameters(), {Plain(d_dst), Plain(indices)}, {}},
        src.description);
  });
  return absl::OkStatus();
}

}  // namespace topiary
