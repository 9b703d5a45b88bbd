// The functions behind ReferenceBackend, one per kind of operation. `op` is the settled
// description and `buffers` the operands' memory, in its order.
#ifndef TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_OPS_H_
#define TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_OPS_H_

#include "absl/types/span.h"
#include "worker/kernels/op_description.h"

namespace topiary {
namespace reference {

using Buffers = absl::Span<void* const>;

inline float* F32(Buffers buffers, int i) { return static_cast<float*>(buffers[i]); }

// reference_matmul.cc
void MatMul(const OpDescription& op, Buffers buffers);
// reference_convolution.cc
void ConvolutionForward(const OpDescription& op, Buffers buffers);
void ConvolutionBackwardData(const OpDescription& op, Buffers buffers);
void ConvolutionBackwardWeights(const OpDescription& op, Buffers buffers);
// reference_batch_norm.cc
void BatchNormForwardTraining(const OpDescription& op, Buffers buffers);
void BatchNormForwardInference(const OpDescription& op, Buffers buffers);
void BatchNormForwardAgain(const OpDescription& op, Buffers buffers);
void BatchNormBackward(const OpDescription& op, Buffers buffers);
// reference_layer_norm.cc
void LayerNormForward(const OpDescription& op, Buffers buffers);
void LayerNormBackward(const OpDescription& op, Buffers buffers);
// reference_pool.cc
void PoolForward(const OpDescription& op, Buffers buffers);
void PoolBackward(const OpDescription& op, Buffers buffers);
// Bytes of the workspace of a max pool with this dst.
int64_t PoolWorkspaceBytes(const Shape& dst);
// reference_elementwise.cc
void Reorder(const OpDescription& op, Buffers buffers);
void UnaryForward(const OpDescription& op, Buffers buffers);
void UnaryBackward(const OpDescription& op, Buffers buffers);
void Binary(const OpDescription& op, Buffers buffers);
void ReduceSum(const OpDescription& op, Buffers buffers);
void Dropout(const OpDescription& op, Buffers buffers);
// reference_softmax.cc
void SoftmaxForward(const OpDescription& op, Buffers buffers);
void SoftmaxBackward(const OpDescription& op, Buffers buffers);
void Attention(const OpDescription& op, Buffers buffers);
void AttentionBackward(const OpDescription& op, Buffers buffers);
// reference_loss.cc
void SoftmaxCrossEntropy(const OpDescription& op, Buffers buffers);
void BinaryCrossEntropyWithLogits(const OpDescription& op, Buffers buffers);
void MeanSquaredError(const OpDescription& op, Buffers buffers);
void Distillation(const OpDescription& op, Buffers buffers);
// reference_data_movement.cc
void Transpose(const OpDescription& op, Buffers buffers);
void Concat(const OpDescription& op, Buffers buffers);
void Split(const OpDescription& op, Buffers buffers);
void Gather(const OpDescription& op, Buffers buffers);
void GatherBackward(const OpDescription& op, Buffers buffers);
// reference_embedding.cc
void EmbeddingForward(const OpDescription& op, Buffers buffers);
void EmbeddingBackward(const OpDescription& op, Buffers buffers);
void EmbeddingUpdate(const OpDescription& op, Buffers buffers);
// reference_parameters.cc
void SumOfSquares(const OpDescription& op, Buffers buffers);
void ScaleBlocks(const OpDescription& op, Buffers buffers);
void BlockInnerProducts(const OpDescription& op, Buffers buffers);
void OptimizerUpdate(const OpDescription& op, Buffers buffers);

}  // namespace reference
}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_REFERENCE_REFERENCE_OPS_H_
