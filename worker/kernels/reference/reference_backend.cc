#include "worker/kernels/reference/reference_backend.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace {

using Function = void (*)(const OpDescription&, reference::Buffers);

Function FunctionOf(OpKind kind) {
  switch (kind) {
    case OpKind::kReorder:
      return reference::Reorder;
    case OpKind::kMatMul:
      return reference::MatMul;
    case OpKind::kConvolutionForward:
      return reference::ConvolutionForward;
    case OpKind::kConvolutionBackwardData:
      return reference::ConvolutionBackwardData;
    case OpKind::kConvolutionBackwardWeights:
      return reference::ConvolutionBackwardWeights;
    case OpKind::kBatchNormForwardTraining:
      return reference::BatchNormForwardTraining;
    case OpKind::kBatchNormForwardInference:
      return reference::BatchNormForwardInference;
    case OpKind::kBatchNormForwardAgain:
      return reference::BatchNormForwardAgain;
    case OpKind::kBatchNormBackward:
      return reference::BatchNormBackward;
    case OpKind::kLayerNormForward:
      return reference::LayerNormForward;
    case OpKind::kLayerNormBackward:
      return reference::LayerNormBackward;
    case OpKind::kPoolForward:
      return reference::PoolForward;
    case OpKind::kPoolBackward:
      return reference::PoolBackward;
    case OpKind::kUnaryForward:
      return reference::UnaryForward;
    case OpKind::kUnaryBackward:
      return reference::UnaryBackward;
    case OpKind::kBinary:
      return reference::Binary;
    case OpKind::kReduceSum:
      return reference::ReduceSum;
    case OpKind::kSoftmaxForward:
      return reference::SoftmaxForward;
    case OpKind::kSoftmaxBackward:
      return reference::SoftmaxBackward;
    case OpKind::kAttention:
      return reference::Attention;
    case OpKind::kAttentionBackward:
      return reference::AttentionBackward;
    case OpKind::kTranspose:
      return reference::Transpose;
    case OpKind::kConcat:
      return reference::Concat;
    case OpKind::kSplit:
      return reference::Split;
    case OpKind::kGather:
      return reference::Gather;
    case OpKind::kGatherBackward:
      return reference::GatherBackward;
    case OpKind::kEmbeddingForward:
      return reference::EmbeddingForward;
    case OpKind::kEmbeddingBackward:
      return reference::EmbeddingBackward;
    case OpKind::kEmbeddingUpdate:
      return reference::EmbeddingUpdate;
    case OpKind::kDropoutForward:
    case OpKind::kDropoutBackward:
      return reference::Dropout;
    case OpKind::kSoftmaxCrossEntropy:
      return reference::SoftmaxCrossEntropy;
    case OpKind::kBinaryCrossEntropyWithLogits:
      return reference::BinaryCrossEntropyWithLogits;
    case OpKind::kMeanSquaredError:
      return reference::MeanSquaredError;
    case OpKind::kDistillation:
      return reference::Distillation;
    case OpKind::kSumOfSquares:
      return reference::SumOfSquares;
    case OpKind::kScaleBlocks:
      return reference::ScaleBlocks;
    case OpKind::kBlockInnerProducts:
      return reference::BlockInnerProducts;
    case OpKind::kOptimizerUpdate:
      return reference::OptimizerUpdate;
  }
  return nullptr;
}

class ReferenceKernel : public Kernel {
 public:
  ReferenceKernel(OpDescription op, Function function) : op_(std::move(op)), function_(function) {}

  absl::Span<const TensorDescription> operands() const override { return op_.operands; }

  void Bind(absl::Span<void* const> buffers, void*) override {
    CHECK_EQ(buffers.size(), op_.operands.size());
    buffers_.assign(buffers.begin(), buffers.end());
  }

  void Run() override { function_(op_, buffers_); }

 private:
  const OpDescription op_;
  const Function function_;
  std::vector<void*> buffers_;
};

// Any becomes plain, and an undetermined workspace gets its size.
absl::Status SettleLayouts(OpDescription* op) {
  for (TensorDescription& operand : op->operands) {
    if (operand.layout.opaque() != nullptr) {
      return absl::UnimplementedError("the reference backend has plain layouts only");
    }
    operand.layout = Layout::Plain();
  }
  if (op->kind == OpKind::kPoolForward && op->operands.size() == 3) {
    op->operands[2].shape = Shape({reference::PoolWorkspaceBytes(op->operands[1].shape)});
  }
  return absl::OkStatus();
}

}  // namespace

BackendInfo ReferenceBackend::info() const { return {"reference", "portable", 1, {}}; }

absl::StatusOr<Buffer> ReferenceBackend::Allocate(size_t bytes) {
  if (bytes == 0) return Buffer();
  if (bytes > SIZE_MAX - 63) return absl::ResourceExhaustedError("allocation size overflows");
  const size_t rounded = (bytes + 63) / 64 * 64;
  std::shared_ptr<void> memory(std::aligned_alloc(64, rounded), std::free);
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", bytes, " bytes"));
  }
  std::memset(memory.get(), 0, rounded);
  return Buffer(std::move(memory), bytes);
}

absl::StatusOr<std::unique_ptr<Kernel>> ReferenceBackend::Plan(const OpDescription& op) {
  OpDescription settled = op;
  absl::Status status = SettleLayouts(&settled);
  if (!status.ok()) return status;
  const Function function = FunctionOf(op.kind);
  return std::make_unique<ReferenceKernel>(std::move(settled), function);
}

}  // namespace topiary
