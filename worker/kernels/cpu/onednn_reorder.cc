// kReorder and kTranspose by oneDNN's reorder.
#include <cstring>

#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/onednn_kernel.h"

namespace topiary {

KernelOr PlanReorder(const OneDnnContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
  }
  if (operands[0].layout.is_plain() && operands[1].layout.is_plain()) {
    const size_t bytes = operands[0].bytes();
    return MakeOwnKernel(std::move(operands), 0, [bytes](const KernelMemory& memory) {
      std::memcpy(memory.At<void>(1), memory.At<void>(0), bytes);
    });
  }
  dnnl::memory::desc from = DescOf(operands[0]), to = DescOf(operands[1]);
  // The weights of grouped convolutions have an axis more in oneDNN than in ONNX; the
  // plain side takes the same view.
  if (from.get_ndims() < to.get_ndims()) from = from.reshape(to.get_dims());
  if (to.get_ndims() < from.get_ndims()) to = to.reshape(from.get_dims());
  OneDnnKernelBuilder builder(context);
  const int src = builder.Operand(0, from);
  builder.AddReorder(src, from, builder.Operand(1, to), to);
  return builder.Build(std::move(operands));
}

KernelOr PlanTranspose(const OneDnnContext& context, const OpDescription& op) {
  std::vector<TensorDescription> operands = op.operands;
  for (TensorDescription& operand : operands) {
    if (operand.layout.is_any()) operand.layout = Layout::Plain();
    if (!operand.layout.is_plain())
      return absl::UnimplementedError("Transpose of a plain tensor only");
  }
  // dst axis i is src axis permutation[i]: src is described with its axes in the order of dst.
  const auto& p = std::get<TransposeParameters>(op.parameters);
  const Shape::Dims strides = operands[0].shape.Strides();
  dnnl::memory::dims src_strides;
  for (const int axis : p.permutation) src_strides.push_back(strides[axis]);
  if (src_strides.empty()) src_strides = {1};
  const dnnl::memory::desc to = PlainDesc(operands[1].shape);
  const dnnl::memory::desc from(to.get_dims(), dnnl::memory::data_type::f32, src_strides);
  OneDnnKernelBuilder builder(context);
  const int src = builder.Operand(0, from);
  builder.AddReorder(src, from, builder.Operand(1, to), to);
  return builder.Build(std::move(operands));
}

}  // namespace topiary
