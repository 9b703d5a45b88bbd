// How each kind of operation is planned; cpu_backend.cc is the table. All return what
// Backend::Plan() does.
#ifndef TOPIARY_WORKER_KERNELS_CPU_CPU_OPS_H_
#define TOPIARY_WORKER_KERNELS_CPU_CPU_OPS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/cpu/onednn_util.h"
#include "worker/kernels/cpu/own_kernel.h"

namespace topiary {

using KernelOr = absl::StatusOr<std::unique_ptr<Kernel>>;

// By oneDNN. They may throw dnnl::error.
KernelOr PlanReorder(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanTranspose(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanMatMul(const OneDnnContext& context, const OpDescription& op);
// With patterns, by own kernels. Convolutions, of all three kinds, are channels last.
KernelOr PlanBlockSparseMatMul(const CpuContext& context, const OpDescription& op);
KernelOr PlanBlockSparseConvolution(const CpuContext& context, const OpDescription& op);
KernelOr PlanBlockSparseKernelGradient(const CpuContext& context, const OpDescription& op);
// The kReorder that packs weights for them.
bool PacksBlocks(const OpDescription& op);
KernelOr PlanPackBlocks(const OpDescription& op);
KernelOr PlanConvolutionForward(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanConvolutionBackwardData(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanConvolutionBackwardWeights(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanPoolForward(const OneDnnContext& context, const OpDescription& op);
KernelOr PlanPoolBackward(const OneDnnContext& context, const OpDescription& op);

// By own kernels.
KernelOr PlanBatchNormForward(const CpuContext& context, const OpDescription& op);  // All kinds.
KernelOr PlanBatchNormBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanLayerNormForward(const CpuContext& context, const OpDescription& op);
KernelOr PlanLayerNormBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanUnaryForward(const CpuContext& context, const OpDescription& op);
KernelOr PlanUnaryBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanBinary(const CpuContext& context, const OpDescription& op);
KernelOr PlanReduceSum(const CpuContext& context, const OpDescription& op);
KernelOr PlanSoftmaxForward(const CpuContext& context, const OpDescription& op);
KernelOr PlanSoftmaxBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanAttention(const CpuContext& context, const OpDescription& op);
KernelOr PlanAttentionBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanConcat(const CpuContext& context, const OpDescription& op);  // And kSplit.
KernelOr PlanGather(const CpuContext& context, const OpDescription& op);
KernelOr PlanGatherBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanEmbeddingForward(const CpuContext& context, const OpDescription& op);
KernelOr PlanEmbeddingBackward(const CpuContext& context, const OpDescription& op);
KernelOr PlanEmbeddingUpdate(const CpuContext& context, const OpDescription& op);
KernelOr PlanDropout(const CpuContext& context, const OpDescription& op);  // Both directions.
KernelOr PlanLoss(const CpuContext& context, const OpDescription& op);     // All losses.
KernelOr PlanSumOfSquares(const CpuContext& context, const OpDescription& op);
KernelOr PlanScaleBlocks(const CpuContext& context, const OpDescription& op);
KernelOr PlanBlockInnerProducts(const CpuContext& context, const OpDescription& op);
KernelOr PlanOptimizerUpdate(const CpuContext& context, const OpDescription& op);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_CPU_OPS_H_
