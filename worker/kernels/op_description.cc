#include "worker/kernels/op_description.h"

#include "common/check.h"
#include "worker/kernels/operand_order.h"

namespace topiary {
namespace {

const BatchNormParameters& BatchNormOf(const OpDescription& op) {
  return std::get<BatchNormParameters>(op.parameters);
}

const LayerNormParameters& LayerNormOf(const OpDescription& op) {
  return std::get<LayerNormParameters>(op.parameters);
}

OperandAccess WrittenFrom(int first_written, int index) {
  return index >= first_written ? OperandAccess::kWrite : OperandAccess::kRead;
}

OperandAccess LastIsWritten(const OpDescription& op, int index) {
  return WrittenFrom(static_cast<int>(op.operands.size()) - 1, index);
}

OperandAccess AccumulatingDst(bool accumulate, int dst, int index) {
  if (index != dst) return OperandAccess::kRead;
  return accumulate ? OperandAccess::kReadWrite : OperandAccess::kWrite;
}

OperandAccess BatchNormForwardAccess(const BatchNormParameters& p, int index) {
  const BatchNormForwardOrder order(p);
  if (index == order.mean || index == order.variance) return OperandAccess::kReadWrite;
  return WrittenFrom(order.dst, index);
}

OperandAccess ConvolutionWeightsAccess(const ConvolutionParameters& p, int index) {
  if (index < 2) return OperandAccess::kRead;
  const bool keeps = p.accumulate || (p.pattern != nullptr && index == 2);
  return keeps ? OperandAccess::kReadWrite : OperandAccess::kWrite;
}

OperandAccess OptimizerAccess(const OptimizerParameters& p, int index) {
  const int block_scale = 2 + OptimizerSlotCount(p);
  if (index > block_scale) return OperandAccess::kWrite;  // Inner products.
  const bool slot = index >= 2 && index < block_scale;
  return index == 0 || slot ? OperandAccess::kReadWrite : OperandAccess::kRead;
}

std::vector<InPlacePair> CandidatePairs(const OpDescription& op) {
  switch (op.kind) {
    case OpKind::kUnaryForward:
    case OpKind::kSoftmaxForward:
    case OpKind::kDropoutForward:
    case OpKind::kDropoutBackward:
      return {{0, 1}};
    case OpKind::kUnaryBackward:
    case OpKind::kSoftmaxBackward:
      return {{1, 2}};
    case OpKind::kBinary:
      return {{0, 2}, {1, 2}};
    case OpKind::kScaleBlocks:
      return {{0, 2}};
    case OpKind::kLayerNormBackward:
      return {{1, 5}};
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBinaryCrossEntropyWithLogits:
    case OpKind::kMeanSquaredError:
    case OpKind::kDistillation:
      if (std::get<LossParameters>(op.parameters).has_gradient) return {{0, 3}};
      return {};
    case OpKind::kBatchNormForwardInference: {
      const BatchNormForwardOrder order(BatchNormOf(op));
      if (order.residual >= 0) return {{0, order.dst}, {order.residual, order.dst}};
      return {{0, order.dst}};
    }
    case OpKind::kBatchNormForwardTraining: {
      const BatchNormForwardOrder order(BatchNormOf(op));
      if (order.residual >= 0) return {{order.residual, order.dst}};
      return {};
    }
    default:
      return {};
  }
}

// Only one of the two results may take over one of the two gradients, so the first pair
// that fits is all there is: d_src first, since d_residual often lives longer.
std::vector<InPlacePair> BatchNormBackwardPairs(const OpDescription& op) {
  const BatchNormBackwardOrder order(BatchNormOf(op));
  std::vector<InPlacePair> pairs = {{order.d_dst, order.d_src}};
  if (order.d_dst_2 >= 0) pairs.push_back({order.d_dst_2, order.d_src});
  if (order.d_residual >= 0) {
    pairs.push_back({order.d_dst, order.d_residual});
    if (order.d_dst_2 >= 0) pairs.push_back({order.d_dst_2, order.d_residual});
  }
  return pairs;
}

}  // namespace

absl::string_view OpKindName(OpKind kind) {
  switch (kind) {
    case OpKind::kReorder:
      return "Reorder";
    case OpKind::kMatMul:
      return "MatMul";
    case OpKind::kConvolutionForward:
      return "ConvolutionForward";
    case OpKind::kConvolutionBackwardData:
      return "ConvolutionBackwardData";
    case OpKind::kConvolutionBackwardWeights:
      return "ConvolutionBackwardWeights";
    case OpKind::kBatchNormForwardTraining:
      return "BatchNormForwardTraining";
    case OpKind::kBatchNormForwardInference:
      return "BatchNormForwardInference";
    case OpKind::kBatchNormForwardAgain:
      return "BatchNormForwardAgain";
    case OpKind::kBatchNormBackward:
      return "BatchNormBackward";
    case OpKind::kLayerNormForward:
      return "LayerNormForward";
    case OpKind::kLayerNormBackward:
      return "LayerNormBackward";
    case OpKind::kPoolForward:
      return "PoolForward";
    case OpKind::kPoolBackward:
      return "PoolBackward";
    case OpKind::kUnaryForward:
      return "UnaryForward";
    case OpKind::kUnaryBackward:
      return "UnaryBackward";
    case OpKind::kBinary:
      return "Binary";
    case OpKind::kReduceSum:
      return "ReduceSum";
    case OpKind::kSoftmaxForward:
      return "SoftmaxForward";
    case OpKind::kSoftmaxBackward:
      return "SoftmaxBackward";
    case OpKind::kAttention:
      return "Attention";
    case OpKind::kAttentionBackward:
      return "AttentionBackward";
    case OpKind::kTranspose:
      return "Transpose";
    case OpKind::kConcat:
      return "Concat";
    case OpKind::kSplit:
      return "Split";
    case OpKind::kGather:
      return "Gather";
    case OpKind::kGatherBackward:
      return "GatherBackward";
    case OpKind::kEmbeddingForward:
      return "EmbeddingForward";
    case OpKind::kEmbeddingBackward:
      return "EmbeddingBackward";
    case OpKind::kEmbeddingUpdate:
      return "EmbeddingUpdate";
    case OpKind::kDropoutForward:
      return "DropoutForward";
    case OpKind::kDropoutBackward:
      return "DropoutBackward";
    case OpKind::kSoftmaxCrossEntropy:
      return "SoftmaxCrossEntropy";
    case OpKind::kBinaryCrossEntropyWithLogits:
      return "BinaryCrossEntropyWithLogits";
    case OpKind::kMeanSquaredError:
      return "MeanSquaredError";
    case OpKind::kDistillation:
      return "Distillation";
    case OpKind::kSumOfSquares:
      return "SumOfSquares";
    case OpKind::kScaleBlocks:
      return "ScaleBlocks";
    case OpKind::kBlockInnerProducts:
      return "BlockInnerProducts";
    case OpKind::kOptimizerUpdate:
      return "OptimizerUpdate";
  }
  return "Unknown";
}

int OptimizerSlotCount(const OptimizerParameters& parameters) {
  if (parameters.kind != OptimizerKind::kSgd) return 2;
  return parameters.momentum != 0 ? 1 : 0;
}

OperandAccess AccessOf(const OpDescription& op, int index) {
  CHECK(index >= 0 && index < static_cast<int>(op.operands.size()));
  switch (op.kind) {
    case OpKind::kMatMul: {
      const auto& p = std::get<MatMulParameters>(op.parameters);
      return AccumulatingDst(p.accumulate || p.dst_pattern != nullptr, MatMulOrder(p).dst, index);
    }
    case OpKind::kConvolutionForward:
      return LastIsWritten(op, index);
    case OpKind::kConvolutionBackwardData:
      return AccumulatingDst(std::get<ConvolutionParameters>(op.parameters).accumulate, 2, index);
    case OpKind::kConvolutionBackwardWeights:
      return ConvolutionWeightsAccess(std::get<ConvolutionParameters>(op.parameters), index);
    case OpKind::kBatchNormForwardTraining:
      return BatchNormForwardAccess(BatchNormOf(op), index);
    case OpKind::kBatchNormBackward:
      return WrittenFrom(BatchNormBackwardOrder(BatchNormOf(op)).d_src, index);
    case OpKind::kLayerNormForward:
      return WrittenFrom(LayerNormForwardOrder(LayerNormOf(op)).dst, index);
    case OpKind::kLayerNormBackward:
      return WrittenFrom(5, index);
    case OpKind::kAttentionBackward:
      return WrittenFrom(
          AttentionBackwardOrder(std::get<AttentionParameters>(op.parameters)).d_query, index);
    case OpKind::kEmbeddingBackward:
      return OperandAccess::kRead;
    case OpKind::kPoolForward:
    case OpKind::kSplit:
      return WrittenFrom(1, index);
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBinaryCrossEntropyWithLogits:
    case OpKind::kMeanSquaredError:
    case OpKind::kDistillation:
      return WrittenFrom(2, index);
    case OpKind::kOptimizerUpdate:
      return OptimizerAccess(std::get<OptimizerParameters>(op.parameters), index);
    default:
      return LastIsWritten(op, index);
  }
}

std::vector<InPlacePair> InPlaceOperands(const OpDescription& op) {
  const std::vector<InPlacePair> candidates =
      op.kind == OpKind::kBatchNormBackward ? BatchNormBackwardPairs(op) : CandidatePairs(op);
  std::vector<InPlacePair> pairs;
  for (const InPlacePair& pair : candidates) {
    if (op.operands[pair.read] == op.operands[pair.written]) pairs.push_back(pair);
  }
  return pairs;
}

}  // namespace topiary
