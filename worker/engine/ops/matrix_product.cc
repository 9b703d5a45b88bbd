#include <algorithm>
#include <memory>
#include <utility>

#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// dst = alpha * op(a) * op(b), whatever graph operator it came from.
struct Product {
  std::string a_name;
  std::string b_name;
  TensorRef a;
  TensorRef b;
  bool transpose_a = false;
  bool transpose_b = false;
  float alpha = 1;
  // Of op(b), a weight of which only some blocks count; null: all.
  std::shared_ptr<const BlockSparsePattern> pattern = nullptr;
};

std::shared_ptr<const BlockSparsePattern> Transposed(
    const std::shared_ptr<const BlockSparsePattern>& pattern) {
  if (pattern == nullptr) return nullptr;
  return std::make_shared<const BlockSparsePattern>(pattern->Transposed());
}

OperationInput MatrixInput(Lowering& l, const std::string& name, const TensorRef& ref) {
  const bool weight = l.Constant(name) != nullptr || l.graph().FindInitializer(name) != nullptr;
  return weight ? OperationInput{ref, l.MatrixWeightLayout()} : Plain(ref);
}

MatMulParameters Parameters(bool transpose_a, bool transpose_b, float alpha) {
  MatMulParameters p;
  p.transpose_a = transpose_a;
  p.transpose_b = transpose_b;
  p.alpha = alpha;
  return p;
}

// The gradient of an operand is the product of the two others in some order:
//   dst = a b:     d_a = d b^T    d_b = a^T d
//   dst = a^T b:   d_a = b d^T    d_b = a d
//   dst = a b^T:   d_a = d b      d_b = d^T a
//   dst = a^T b^T: d_a = b^T d^T  d_b = d^T a^T
Operation GradientOfA(Lowering& l, const Product& p, const TensorRef& d) {
  const OperationInput b = MatrixInput(l, p.b_name, p.b);
  if (p.transpose_a) {
    return {OpKind::kMatMul, Parameters(p.transpose_b, true, p.alpha), {b, Plain(d)}, {}};
  }
  MatMulParameters parameters = Parameters(false, !p.transpose_b, p.alpha);
  parameters.b_pattern = Transposed(p.pattern);
  return {OpKind::kMatMul, parameters, {Plain(d), b}, {}};
}

Operation GradientOfB(Lowering& l, const Product& p, const TensorRef& d) {
  const OperationInput a = MatrixInput(l, p.a_name, p.a);
  if (p.transpose_b) {
    MatMulParameters parameters = Parameters(true, p.transpose_a, p.alpha);
    parameters.dst_pattern = Transposed(p.pattern);
    return {OpKind::kMatMul, parameters, {Plain(d), a}, {}};
  }
  MatMulParameters parameters = Parameters(!p.transpose_a, false, p.alpha);
  parameters.dst_pattern = p.pattern;
  return {OpKind::kMatMul, parameters, {a, Plain(d)}, {}};
}

// The shape of op(x)'s gradient before the axes along which x was stretched are summed.
Shape StackOf(const Shape& matrix, const Shape& dst) {
  Shape::Dims dims(dst.dims());
  dims[dims.size() - 2] = matrix[matrix.rank() - 2];
  dims[dims.size() - 1] = matrix[matrix.rank() - 1];
  return Shape(absl::MakeConstSpan(dims));
}

absl::Status EmitGradient(Lowering& l, const std::string& name, const TensorRef& operand,
                          const Shape& dst, Operation operation) {
  const Shape stack = StackOf(operand.shape(), dst);
  if (stack == operand.shape()) {
    MatMulParameters accumulating = std::get<MatMulParameters>(operation.parameters);
    accumulating.accumulate = true;
    return l.tape().EmitTerm(name, std::move(operation), operand.description, accumulating);
  }
  operation.outputs = {NewTensor(stack, Layout::Plain())};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> whole, l.emitter().Emit(operation));
  return l.tape().EmitTerm(name, {OpKind::kReduceSum, ReduceSumParameters(), {Plain(whole[0])}, {}},
                           operand.description);
}

absl::Status EmitGradients(Lowering& l, Product p, const TensorRef& d_dst) {
  if (l.tape().Requires(p.b_name)) {
    ASSIGN_OR_RETURN(p.a, l.ForBackward(p.a_name, p.a));
    RETURN_IF_ERROR(EmitGradient(l, p.b_name, p.b, d_dst.shape(), GradientOfB(l, p, d_dst)));
  }
  if (l.tape().Requires(p.a_name)) {
    RETURN_IF_ERROR(EmitGradient(l, p.a_name, p.a, d_dst.shape(), GradientOfA(l, p, d_dst)));
  }
  return absl::OkStatus();
}

// Gemm's third operand as a bias [columns] of the product, or as a matrix to add.
struct GemmBias {
  std::string name;
  TensorRef ref;
  bool is_vector = false;
  float beta = 1;
};

absl::StatusOr<GemmBias> ReadGemmBias(Lowering& l, const Node& node, float beta, int64_t columns) {
  GemmBias bias;
  bias.beta = beta;
  if (node.inputs.size() < 3 || node.input(2).empty() || beta == 0) return bias;
  bias.name = node.input(2);
  ASSIGN_OR_RETURN(bias.ref, l.PlainValue(bias.name));
  const Shape& shape = bias.ref.shape();
  const bool row = shape.rank() == 1 || (shape.rank() == 2 && shape[0] == 1);
  bias.is_vector = row && shape[shape.rank() - 1] == columns && beta == 1;
  if (bias.is_vector) {
    ASSIGN_OR_RETURN(bias.ref, l.emitter().View(bias.ref, Shape({columns})));
  }
  return bias;
}

// dst = relu?(product + beta * bias) for a bias that the product cannot take along.
absl::StatusOr<TensorRef> AddBias(Lowering& l, const TensorRef& product, const GemmBias& bias,
                                  bool relu) {
  UnaryParameters scale{UnaryFunction::kLinear, bias.beta, 0};
  ASSIGN_OR_RETURN(const std::vector<TensorRef> scaled,
                   l.emitter().Emit({OpKind::kUnaryForward,
                                     scale,
                                     {Plain(bias.ref)},
                                     {{bias.ref.description, std::nullopt}}}));
  BinaryParameters add;
  const BinaryParameters without = add;
  add.fused_relu = relu;
  return l.EmitWithRelu({OpKind::kBinary,
                         add,
                         {Plain(product), Plain(scaled[0])},
                         {NewTensor(product.shape(), Layout::Plain())}},
                        without);
}

absl::Status EmitBiasGradient(Lowering& l, const GemmBias& bias, const TensorRef& d_dst) {
  if (bias.name.empty() || !l.tape().Requires(bias.name)) return absl::OkStatus();
  ReduceSumParameters p;
  p.scale = bias.beta;
  return l.tape().EmitTerm(bias.name, {OpKind::kReduceSum, p, {Plain(d_dst)}, {}},
                           bias.ref.description);
}

// relu?(product + residual), or the Gelu of that, in one operation where the backend has it.
absl::StatusOr<TensorRef> EmitProduct(Lowering& l, const FusedNode& fused,
                                      const Operation& operation, const OpParameters& without) {
  if (fused.residual.empty() && !fused.gelu_of_product) return l.EmitWithRelu(operation, without);
  const Shape& shape = operation.outputs[0].description.shape;
  TensorRef residual;
  Operation whole = operation;
  MatMulParameters p = std::get<MatMulParameters>(operation.parameters);
  p.fused_gelu = fused.gelu_of_product;
  p.has_residual = !fused.residual.empty();
  if (p.has_residual) {
    ASSIGN_OR_RETURN(residual, l.PlainValue(fused.residual));
    ASSIGN_OR_RETURN(residual, l.emitter().View(residual, shape));
    whole.inputs.push_back(Plain(residual));
  }
  whole.parameters = p;
  const absl::StatusOr<std::vector<TensorRef>> results = l.emitter().Emit(whole);
  if (results.ok()) return (*results)[0];
  if (!absl::IsUnimplemented(results.status())) return results.status();

  Operation plain = operation;
  plain.parameters = without;
  ASSIGN_OR_RETURN(const std::vector<TensorRef> product, l.emitter().Emit(plain));
  TensorRef dst = product[0];
  if (p.has_residual) {
    BinaryParameters add;
    const BinaryParameters without_relu = add;
    add.fused_relu = p.fused_relu;
    ASSIGN_OR_RETURN(dst, l.EmitWithRelu({OpKind::kBinary,
                                          add,
                                          {Plain(dst), Plain(residual)},
                                          {NewTensor(shape, Layout::Plain())}},
                                         without_relu));
  }
  if (p.fused_gelu) {
    ASSIGN_OR_RETURN(const std::vector<TensorRef> gelu,
                     l.emitter().Emit({OpKind::kUnaryForward,
                                       UnaryParameters{UnaryFunction::kGelu, 0, 0},
                                       {Plain(dst)},
                                       {NewTensor(shape, Layout::Plain())}}));
    dst = gelu[0];
  }
  return dst;
}

// MatMul's operand as a matrix or a stack of them, of `rank` axes.
Shape PaddedToRank(const Shape& shape, int rank) {
  Shape::Dims dims(rank - shape.rank(), 1);
  dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
  return Shape(absl::MakeConstSpan(dims));
}

struct MatMulShapes {
  Shape a;
  Shape b;
  Shape dst;
};

// A vector is a matrix of one row (left) or column (right). Where the right operand is one matrix,
// the leading axes of the left one are rows.
MatMulShapes ShapesOfMatMul(const Shape& a_shape, const Shape& b_shape, const Shape& dst_shape) {
  MatMulShapes s{a_shape, b_shape, dst_shape};
  if (a_shape.rank() == 1) s.a = Shape({1, a_shape[0]});
  if (b_shape.rank() == 1) s.b = Shape({b_shape[0], 1});
  const int64_t depth = s.a[s.a.rank() - 1];
  const int64_t columns = s.b[s.b.rank() - 1];
  if (s.b.rank() == 2) {
    int64_t rows = 1;
    for (int axis = 0; axis + 1 < s.a.rank(); ++axis) rows *= s.a[axis];
    return {Shape({rows, depth}), s.b, Shape({rows, columns})};
  }
  const int rank = std::max(s.a.rank(), s.b.rank());
  s.a = PaddedToRank(s.a, rank);
  s.b = PaddedToRank(s.b, rank);
  Shape::Dims dims(rank);
  for (int axis = 0; axis < rank - 2; ++axis) dims[axis] = std::max(s.a[axis], s.b[axis]);
  dims[rank - 2] = s.a[rank - 2];
  dims[rank - 1] = columns;
  s.dst = Shape(absl::MakeConstSpan(dims));
  return s;
}

}  // namespace

absl::Status LowerGemm(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  ASSIGN_OR_RETURN(const GemmParams params, ReadGemm(node));
  const Shape& dst_shape = l.ShapeOf(fused.result);
  Product product{node.input(0),  node.input(1),  {},          {},
                  params.trans_a, params.trans_b, params.alpha};
  ASSIGN_OR_RETURN(product.a, l.PlainValue(product.a_name));
  ASSIGN_OR_RETURN(product.b, l.PlainValue(product.b_name));
  if (!params.trans_a) {
    const Shape& b = product.b.shape();
    product.pattern = l.PatternOf(product.b_name, 1, b[params.trans_b ? 1 : 0], dst_shape[1]);
  }
  ASSIGN_OR_RETURN(const GemmBias bias, ReadGemmBias(l, node, params.beta, dst_shape[1]));

  const bool added_after = !bias.name.empty() && !bias.is_vector;
  MatMulParameters p = Parameters(params.trans_a, params.trans_b, params.alpha);
  p.has_bias = bias.is_vector;
  p.b_pattern = product.pattern;
  const MatMulParameters without = p;
  p.fused_relu = fused.relu && !added_after;
  Operation operation{
      OpKind::kMatMul,
      p,
      {MatrixInput(l, product.a_name, product.a), MatrixInput(l, product.b_name, product.b)},
      {NewTensor(dst_shape, Layout::Plain())}};
  if (bias.is_vector) operation.inputs.push_back(Plain(bias.ref));
  ASSIGN_OR_RETURN(TensorRef dst, l.EmitWithRelu(operation, without));
  if (added_after) {
    ASSIGN_OR_RETURN(dst, AddBias(l, dst, bias, fused.relu));
  }

  l.Finish(fused, dst, [&l, fused, product, bias, dst]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.GradientBeforeRelu(fused, dst, Layout::Plain()));
    RETURN_IF_ERROR(EmitBiasGradient(l, bias, d_dst));
    return EmitGradients(l, product, d_dst);
  });
  return absl::OkStatus();
}

absl::Status LowerMatMul(Lowering& l, const FusedNode& fused) {
  const Node& node = l.node(fused);
  const bool transposed = !fused.transposed_weight.empty();
  Product product{node.input(0),
                  transposed ? fused.transposed_weight : node.input(1),
                  {},
                  {},
                  false,
                  transposed,
                  fused.factor};
  const Shape& dst_shape = l.ShapeOf(fused.result);
  const MatMulShapes shapes =
      ShapesOfMatMul(l.ShapeOf(node.input(0)), l.ShapeOf(node.input(1)), dst_shape);
  ASSIGN_OR_RETURN(product.a, l.PlainValue(product.a_name));
  ASSIGN_OR_RETURN(product.b, l.PlainValue(product.b_name));
  ASSIGN_OR_RETURN(product.a, l.emitter().View(product.a, shapes.a));
  if (!transposed) {
    ASSIGN_OR_RETURN(product.b, l.emitter().View(product.b, shapes.b));
  }
  if (shapes.b.rank() == 2) {
    product.pattern = l.PatternOf(product.b_name, 1, shapes.b[0], shapes.b[1]);
  }
  GemmBias bias;
  bias.name = fused.bias;
  if (!bias.name.empty()) {
    ASSIGN_OR_RETURN(bias.ref, l.PlainValue(bias.name));
  }

  MatMulParameters p = Parameters(false, transposed, fused.factor);
  p.has_bias = !bias.name.empty();
  p.b_pattern = product.pattern;
  const MatMulParameters without = p;
  p.fused_relu = fused.relu;
  Operation operation{
      OpKind::kMatMul,
      p,
      {MatrixInput(l, product.a_name, product.a), MatrixInput(l, product.b_name, product.b)},
      {NewTensor(shapes.dst, Layout::Plain())}};
  if (p.has_bias) operation.inputs.push_back(Plain(bias.ref));
  ASSIGN_OR_RETURN(const TensorRef dst, EmitProduct(l, fused, operation, without));
  ASSIGN_OR_RETURN(const TensorRef result, l.emitter().View(dst, dst_shape));

  l.Finish(fused, result, [&l, fused, product, bias, result, shapes]() -> absl::Status {
    ASSIGN_OR_RETURN(const TensorRef gradient,
                     l.GradientBeforeRelu(fused, result, Layout::Plain()));
    ASSIGN_OR_RETURN(const TensorRef d_dst, l.emitter().View(gradient, shapes.dst));
    RETURN_IF_ERROR(EmitBiasGradient(l, bias, d_dst));
    return EmitGradients(l, product, d_dst);
  });
  return absl::OkStatus();
}

}  // namespace topiary
