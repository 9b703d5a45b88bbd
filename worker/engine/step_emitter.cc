#include "worker/engine/step_emitter.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

OpDescription Describe(const Operation& operation) {
  OpDescription op{operation.kind, operation.parameters, {}};
  for (const OperationInput& input : operation.inputs) {
    op.operands.push_back(input.ref.description);
    op.operands.back().layout = input.layout;
  }
  for (const OperationOutput& output : operation.outputs) {
    op.operands.push_back(output.description);
  }
  return op;
}

// Makes every float operand plain; false if all were. Workspaces keep the layout of their maker.
bool MakePlain(OpDescription* op) {
  bool changed = false;
  for (TensorDescription& operand : op->operands) {
    if (operand.dtype != DType::kFloat32 || operand.layout.is_plain()) continue;
    operand.layout = Layout::Plain();
    changed = true;
  }
  return changed;
}

struct FusionNames {
  std::string operator()(const MatMulParameters& p) const {
    const bool sparse = p.b_pattern != nullptr || p.dst_pattern != nullptr;
    return absl::StrCat(sparse ? "+sparse" : "", p.has_residual ? "+add" : "",
                        p.fused_relu ? "+relu" : "", p.fused_gelu ? "+gelu" : "",
                        p.accumulate ? "+accumulate" : "");
  }
  std::string operator()(const ConvolutionParameters& p) const {
    return absl::StrCat(p.pattern != nullptr ? "+sparse" : "", p.fused_relu ? "+relu" : "",
                        p.accumulate ? "+accumulate" : "");
  }
  std::string operator()(const BatchNormParameters& p) const {
    return absl::StrCat(p.fused_add ? "+add" : "", p.fused_relu ? "+relu" : "",
                        p.sum_d_dst ? "+sum" : "");
  }
  std::string operator()(const BinaryParameters& p) const { return p.fused_relu ? "+relu" : ""; }
  template <typename Other>
  std::string operator()(const Other&) const {
    return "";
  }
};

}  // namespace

TensorRef StepEmitter::NewBuffer(const TensorDescription& description) {
  BufferInfo info;
  info.bytes = description.bytes();
  list_->buffers.push_back(info);
  return {static_cast<int>(list_->buffers.size()) - 1, description};
}

TensorRef StepEmitter::External(const TensorDescription& description, void* memory, bool weights) {
  const TensorRef ref = NewBuffer(description);
  list_->buffers[ref.buffer].external = memory;
  list_->buffers[ref.buffer].weights = weights;
  return ref;
}

absl::StatusOr<std::unique_ptr<Kernel>> StepEmitter::Plan(const OpDescription& op) const {
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = backend_->Plan(op);
  if (kernel.ok()) return kernel;
  return absl::Status(kernel.status().code(),
                      absl::StrCat(label_, ": ", kernel.status().message()));
}

void StepEmitter::Push(OpDescription op, std::unique_ptr<Kernel> kernel, std::vector<int> buffers,
                       bool weights) {
  std::vector<Step>& steps =
      weights ? list_->weights : (backward_ ? list_->backward : list_->forward);
  const bool of_weights = op.kind == OpKind::kReorder && list_->buffers[buffers[0]].weights;
  std::string label = absl::StrCat(std::string(OpKindName(op.kind)), of_weights ? "+weights" : "",
                                   std::visit(FusionNames(), op.parameters), " ", label_);
  steps.push_back({std::move(op), std::move(kernel), std::move(buffers), std::move(label)});
}

absl::StatusOr<std::vector<TensorRef>> StepEmitter::Emit(const Operation& operation) {
  OpDescription op = Describe(operation);
  absl::StatusOr<std::unique_ptr<Kernel>> kernel = Plan(op);
  if (absl::IsUnimplemented(kernel.status()) && MakePlain(&op)) kernel = Plan(op);
  RETURN_IF_ERROR(kernel.status());
  return Append(operation, std::move(op), *std::move(kernel));
}

absl::StatusOr<std::vector<TensorRef>> StepEmitter::Append(const Operation& operation,
                                                           OpDescription op,
                                                           std::unique_ptr<Kernel> kernel) {
  op.operands.assign(kernel->operands().begin(), kernel->operands().end());
  std::vector<int> buffers;
  for (size_t i = 0; i < operation.inputs.size(); ++i) {
    ASSIGN_OR_RETURN(const TensorRef ref, InLayout(operation.inputs[i].ref, op.operands[i].layout));
    buffers.push_back(ref.buffer);
  }
  std::vector<TensorRef> results;
  std::vector<std::pair<TensorRef, TensorRef>> copies;
  for (size_t i = 0; i < operation.outputs.size(); ++i) {
    const TensorDescription& settled = op.operands[operation.inputs.size() + i];
    const std::optional<TensorRef>& into = operation.outputs[i].into;
    const bool direct = into.has_value() && into->layout() == settled.layout;
    const TensorRef written = direct ? TensorRef{into->buffer, settled} : NewBuffer(settled);
    if (into.has_value() && !direct) copies.emplace_back(written, *into);
    buffers.push_back(written.buffer);
    results.push_back(into.has_value() ? *into : written);
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (AccessOf(op, static_cast<int>(i)) != OperandAccess::kRead) copies_.erase(buffers[i]);
  }
  Push(std::move(op), std::move(kernel), std::move(buffers), false);
  for (const auto& [from, to] : copies) RETURN_IF_ERROR(CopyInto(from, to));
  return results;
}

absl::StatusOr<TensorRef> StepEmitter::InLayout(const TensorRef& ref, const Layout& layout) {
  if (ref.layout() == layout) return ref;
  for (const TensorRef& copy : copies_[ref.buffer]) {
    if (copy.shape() == ref.shape() && copy.layout() == layout) return copy;
  }
  TensorDescription description = ref.description;
  description.layout = layout;
  OpDescription op{OpKind::kReorder, {}, {ref.description, description}};
  ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, Plan(op));
  const TensorRef copy = NewBuffer(description);
  const bool weights = list_->buffers[ref.buffer].weights && !weights_change_;
  list_->buffers[copy.buffer].weights = weights;
  list_->buffers[copy.buffer].pinned = weights;
  Push(std::move(op), std::move(kernel), {ref.buffer, copy.buffer}, weights);
  copies_[ref.buffer].push_back(copy);
  return copy;
}

absl::StatusOr<TensorRef> StepEmitter::View(const TensorRef& ref, const Shape& shape) {
  CHECK_EQ(ref.shape().element_count(), shape.element_count());
  if (ref.shape() == shape) return ref;
  ASSIGN_OR_RETURN(TensorRef view, InLayout(ref, Layout::Plain()));
  view.description.shape = shape;
  return view;
}

absl::Status StepEmitter::CopyInto(const TensorRef& from, const TensorRef& to) {
  TensorDescription dst = to.description;
  TensorRef src = from;
  if (src.shape() != dst.shape) {
    ASSIGN_OR_RETURN(src, View(src, dst.shape));
  }
  OpDescription op{OpKind::kReorder, {}, {src.description, dst}};
  ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, Plan(op));
  copies_.erase(to.buffer);
  Push(std::move(op), std::move(kernel), {src.buffer, to.buffer}, false);
  return absl::OkStatus();
}

}  // namespace topiary
