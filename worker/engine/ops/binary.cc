#include <utility>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"

namespace topiary {
namespace {

BinaryFunction FunctionOf(const std::string& op_type) {
  if (op_type == "Add") return BinaryFunction::kAdd;
  if (op_type == "Sub") return BinaryFunction::kSub;
  if (op_type == "Mul") return BinaryFunction::kMul;
  return BinaryFunction::kDiv;
}

// The layout in which two operands of equal shape meet: that of the one which is not plain.
Layout CommonLayout(const TensorRef& a, const TensorRef& b) {
  return a.layout().is_plain() ? b.layout() : a.layout();
}

struct BinaryTensors {
  std::string a_name;
  std::string b_name;
  TensorRef a;
  TensorRef b;
  TensorRef dst;
};

absl::StatusOr<TensorRef> EmitBinary(Lowering& l, BinaryFunction function, const TensorRef& a,
                                     const TensorRef& b, const TensorDescription& dst) {
  const auto input = [&](const TensorRef& ref) {
    return ref.shape() == dst.shape ? OperationInput{ref, dst.layout} : Plain(ref);
  };
  BinaryParameters p;
  p.function = function;
  ASSIGN_OR_RETURN(
      const std::vector<TensorRef> results,
      l.emitter().Emit({OpKind::kBinary, p, {input(a), input(b)}, {{dst, std::nullopt}}}));
  return results[0];
}

// Delivers scale * gradient, summed over the axes along which `operand` was stretched.
absl::Status DeliverReduced(Lowering& l, const std::string& name, const TensorRef& operand,
                            const TensorRef& gradient, float scale, bool shared) {
  if (operand.shape() != gradient.shape()) {
    ReduceSumParameters p;
    p.scale = scale;
    TensorDescription plain = operand.description;
    plain.layout = Layout::Plain();
    return l.tape().EmitTerm(name, {OpKind::kReduceSum, p, {Plain(gradient)}, {}}, plain);
  }
  if (scale != 1) {
    const UnaryParameters p{UnaryFunction::kLinear, scale, 0};
    return l.tape().EmitTerm(name, {OpKind::kUnaryForward, p, {Keep(gradient)}, {}},
                             gradient.description);
  }
  return shared ? l.tape().DeliverShared(name, gradient) : l.tape().Deliver(name, gradient);
}

// d_a and d_b of a * b, a / b from d = d_dst: products and quotients of dst's shape, then reduced.
absl::Status DeliverScaled(Lowering& l, BinaryFunction function, const BinaryTensors& t,
                           const TensorRef& d) {
  if (l.tape().Requires(t.a_name)) {
    ASSIGN_OR_RETURN(const TensorRef d_a, EmitBinary(l, function, d, t.b, t.dst.description));
    RETURN_IF_ERROR(DeliverReduced(l, t.a_name, t.a, d_a, 1, false));
  }
  if (!l.tape().Requires(t.b_name)) return absl::OkStatus();
  if (function == BinaryFunction::kMul) {
    ASSIGN_OR_RETURN(const TensorRef d_b, EmitBinary(l, function, d, t.a, t.dst.description));
    return DeliverReduced(l, t.b_name, t.b, d_b, 1, false);
  }
  // d(a / b) / db = -dst / b.
  ASSIGN_OR_RETURN(const TensorRef product,
                   EmitBinary(l, BinaryFunction::kMul, d, t.dst, t.dst.description));
  ASSIGN_OR_RETURN(const TensorRef d_b,
                   EmitBinary(l, BinaryFunction::kDiv, product, t.b, t.dst.description));
  return DeliverReduced(l, t.b_name, t.b, d_b, -1, false);
}

absl::Status DeliverGradients(Lowering& l, const FusedNode& fused, BinaryFunction function,
                              const BinaryTensors& t) {
  ASSIGN_OR_RETURN(const TensorRef d, l.GradientBeforeRelu(fused, t.dst, t.dst.layout()));
  if (function == BinaryFunction::kMul || function == BinaryFunction::kDiv) {
    return DeliverScaled(l, function, t, d);
  }
  if (l.tape().Requires(t.a_name)) {
    RETURN_IF_ERROR(DeliverReduced(l, t.a_name, t.a, d, 1, true));
  }
  if (!l.tape().Requires(t.b_name)) return absl::OkStatus();
  return DeliverReduced(l, t.b_name, t.b, d, function == BinaryFunction::kSub ? -1 : 1, true);
}

}  // namespace

absl::Status LowerBinary(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const Shape& shape = l.ShapeOf(fused.result);
  BinaryTensors t;
  t.a_name = node.input(0);
  t.b_name = node.input(1);
  ASSIGN_OR_RETURN(t.a, l.Value(t.a_name));
  ASSIGN_OR_RETURN(t.b, l.Value(t.b_name));
  BinaryParameters p;
  p.function = FunctionOf(node.op_type);
  const BinaryParameters without = p;
  p.fused_relu = fused.relu;
  Operation operation{OpKind::kBinary, p, {}, {NewTensor(shape, Layout::Any())}};
  if (t.a.shape() == t.b.shape()) {
    const Layout layout = CommonLayout(t.a, t.b);
    operation.inputs = {{t.a, layout}, {t.b, layout}};
    operation.outputs = {NewTensor(shape, layout)};
  } else {
    operation.inputs = {Keep(t.a), Keep(t.b)};
  }
  ASSIGN_OR_RETURN(t.dst, l.EmitWithRelu(operation, without));
  l.Finish(fused, t.dst, [&l, fused, function = without.function, t] {
    return DeliverGradients(l, fused, function, t);
  });
  return absl::OkStatus();
}

}  // namespace topiary
