#include "worker/model/op_schema.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_join.h"
#include "worker/model/constant_folding.h"
#include "worker/model/type_rules.h"

namespace topiary {
namespace {

constexpr size_t kAnyNumber = 100000;

constexpr uint32_t Operands(std::initializer_list<int> list) {
  uint32_t mask = 0;
  for (int i : list) mask |= uint32_t{1} << i;
  return mask;
}

// op_type, operands from..to, results, type rule, fold rule, runs, configuring operands,
// statistics.
constexpr OpSchema kSchemas[] = {
    {"Add", 2, 2, 1, type_rules::Broadcast, fold::Arithmetic, true},
    {"AveragePool", 1, 1, 1, type_rules::Pool, nullptr, true},
    {"BatchNormalization", 5, 5, 5, type_rules::BatchNorm, nullptr, true, 0, Operands({3, 4})},
    {"Cast", 1, 1, 1, type_rules::Cast, fold::Cast, true},
    {"Clip", 1, 3, 1, type_rules::Clip, nullptr, true, Operands({1, 2})},
    {"Concat", 1, kAnyNumber, 1, type_rules::Concat, fold::Concat, true},
    {"Constant", 0, 0, 1, type_rules::Constant, fold::Constant, false},
    {"ConstantOfShape", 1, 1, 1, type_rules::ConstantOfShape, fold::ConstantOfShape, false,
     Operands({0})},
    {"Conv", 2, 3, 1, type_rules::Conv, nullptr, true},
    {"Div", 2, 2, 1, type_rules::Broadcast, fold::Arithmetic, true},
    {"Dropout", 1, 3, 2, type_rules::Dropout, nullptr, true, Operands({1, 2})},
    {"Erf", 1, 1, 1, type_rules::SameAsFirst, nullptr, true},
    {"Flatten", 1, 1, 1, type_rules::Flatten, fold::Reshaped, true},
    {"Gather", 2, 2, 1, type_rules::Gather, fold::Gather, true},
    {"Gelu", 1, 1, 1, type_rules::Gelu, nullptr, true},
    {"Gemm", 2, 3, 1, type_rules::Gemm, nullptr, true},
    {"GlobalAveragePool", 1, 1, 1, type_rules::GlobalPool, nullptr, true},
    {"Identity", 1, 1, 1, type_rules::SameAsFirst, fold::Reshaped, true},
    {"LayerNormalization", 2, 3, 3, type_rules::LayerNorm, nullptr, true},
    {"LeakyRelu", 1, 1, 1, type_rules::LeakyRelu, nullptr, true},
    {"LogSoftmax", 1, 1, 1, type_rules::SoftmaxLike, nullptr, true},
    {"MatMul", 2, 2, 1, type_rules::MatMul, nullptr, true},
    {"MaxPool", 1, 1, 2, type_rules::Pool, nullptr, true},
    {"Mul", 2, 2, 1, type_rules::Broadcast, fold::Arithmetic, true},
    {"Pow", 2, 2, 1, type_rules::Pow, fold::Pow, false},
    {"Range", 3, 3, 1, type_rules::Range, fold::Range, false, Operands({0, 1, 2})},
    {"Relu", 1, 1, 1, type_rules::SameAsFirst, nullptr, true},
    {"Reshape", 2, 2, 1, type_rules::Reshape, fold::Reshaped, true, Operands({1})},
    {"Shape", 1, 1, 1, type_rules::ShapeOf, fold::ShapeOf, false},
    {"Sigmoid", 1, 1, 1, type_rules::SameAsFirst, nullptr, true},
    {"Slice", 3, 5, 1, type_rules::Slice, fold::Slice, false, Operands({1, 2, 3, 4})},
    {"Softmax", 1, 1, 1, type_rules::SoftmaxLike, nullptr, true},
    {"Squeeze", 1, 2, 1, type_rules::Squeeze, fold::Reshaped, true, Operands({1})},
    {"Sub", 2, 2, 1, type_rules::Broadcast, fold::Arithmetic, true},
    {"Tanh", 1, 1, 1, type_rules::SameAsFirst, nullptr, true},
    {"Transpose", 1, 1, 1, type_rules::Transpose, fold::Transpose, true},
    {"Trilu", 1, 2, 1, type_rules::Trilu, fold::Trilu, false, Operands({1})},
    {"Unsqueeze", 1, 2, 1, type_rules::Unsqueeze, fold::Reshaped, true, Operands({1})},
};

}  // namespace

const OpSchema* FindOpSchema(absl::string_view op_type) {
  const auto* const it = std::lower_bound(
      std::begin(kSchemas), std::end(kSchemas), op_type,
      [](const OpSchema& schema, absl::string_view name) { return schema.op_type < name; });
  return it != std::end(kSchemas) && it->op_type == op_type ? it : nullptr;
}

absl::Span<const OpSchema> OpSchemas() { return kSchemas; }

std::string SupportedOperators() {
  return absl::StrJoin(kSchemas, ", ", [](std::string* out, const OpSchema& schema) {
    out->append(schema.op_type.data(), schema.op_type.size());
  });
}

}  // namespace topiary
