#include "worker/engine/ops/op_rules.h"

namespace topiary {
namespace {

struct Row {
  absl::string_view op_type;
  OpRule rule;
};

constexpr Row kRows[] = {
    {"Add", LowerBinary},
    {"AveragePool", LowerPool},
    {"BatchNormalization", LowerBatchNormalization},
    {"Cast", LowerView},
    {"Clip", LowerUnary},
    {"Concat", LowerConcat},
    {"Conv", LowerConv},
    {"Div", LowerBinary},
    {"Dropout", LowerDropout},
    {"Erf", LowerUnary},
    {"Flatten", LowerView},
    {"Gather", LowerGather},
    {"Gelu", LowerUnary},
    {"Gemm", LowerGemm},
    {"GlobalAveragePool", LowerGlobalAveragePool},
    {"Identity", LowerView},
    {"LayerNormalization", LowerLayerNormalization},
    {"LeakyRelu", LowerUnary},
    {"LogSoftmax", LowerSoftmax},
    {"MatMul", LowerMatMul},
    {"MaxPool", LowerPool},
    {"Mul", LowerBinary},
    {"Relu", LowerUnary},
    {"Reshape", LowerView},
    {"Sigmoid", LowerUnary},
    {"Softmax", LowerSoftmax},
    {"Squeeze", LowerView},
    {"Sub", LowerBinary},
    {"Tanh", LowerUnary},
    {"Transpose", LowerTranspose},
    {"Unsqueeze", LowerView},
};

}  // namespace

OpRule FindOpRule(absl::string_view op_type) {
  for (const Row& row : kRows) {
    if (row.op_type == op_type) return row.rule;
  }
  return nullptr;
}

}  // namespace topiary
