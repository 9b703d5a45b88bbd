// Appends operations to a step list: plans the kernel, lets it choose layouts, and
// inserts reorders where a choice differs from what there is.
#ifndef TOPIARY_WORKER_ENGINE_STEP_EMITTER_H_
#define TOPIARY_WORKER_ENGINE_STEP_EMITTER_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/step_list.h"
#include "worker/kernels/backend.h"

namespace topiary {

// What an operation reads, and the layout it should be planned with: any, or a given one.
struct OperationInput {
  TensorRef ref;
  Layout layout;
};

// What an operation writes: new memory, or that of `into` (a gradient's destination).
struct OperationOutput {
  TensorDescription description;  // The layout may be any.
  std::optional<TensorRef> into;
};

// An operation whose operands are its inputs and then its outputs, as in every row of the
// table in op_description.h.
struct Operation {
  OpKind kind;
  OpParameters parameters;
  std::vector<OperationInput> inputs;
  std::vector<OperationOutput> outputs;
};

// Shorthands.
inline OperationInput Keep(TensorRef ref) {
  Layout layout = ref.layout();
  return {std::move(ref), std::move(layout)};
}
inline OperationInput Free(TensorRef ref) { return {std::move(ref), Layout::Any()}; }
inline OperationInput Plain(TensorRef ref) { return {std::move(ref), Layout::Plain()}; }
inline OperationOutput NewTensor(const Shape& shape, Layout layout) {
  return {{shape, DType::kFloat32, std::move(layout)}, std::nullopt};
}

// Thread-compatible. Backend and list must outlive it.
class StepEmitter {
 public:
  // `weights_change`: between any two runs, so that copies of weights are made when they are used,
  // and hold memory no longer.
  StepEmitter(Backend* backend, StepList* list, bool weights_change)
      : backend_(backend), list_(list), weights_change_(weights_change) {}

  // Steps go to the backward list from now on.
  void BeginBackward() { backward_ = true; }
  // Name of the node that the next steps belong to, for labels and errors.
  void set_label(std::string label) { label_ = std::move(label); }

  TensorRef NewBuffer(const TensorDescription& description);
  TensorRef External(const TensorDescription& description, void* memory, bool weights);

  // Plans `operation` and appends it, with the reorders it needs before (and after, where a result
  // must lie elsewhere than the kernel can write). Where the backend does not have the
  // wished layouts, plans it with plain ones. Returns the outputs. UNIMPLEMENTED, with nothing
  // appended, where the backend refuses a fusion or accumulation.
  absl::StatusOr<std::vector<TensorRef>> Emit(const Operation& operation);

  // `ref` in another layout: itself, an earlier copy, or a reorder that is appended. Copies of
  // weights are made by the weights list and pinned, unless weights change.
  absl::StatusOr<TensorRef> InLayout(const TensorRef& ref, const Layout& layout);

  // The same elements under another shape of equal element count, in plain layout.
  absl::StatusOr<TensorRef> View(const TensorRef& ref, const Shape& shape);

  // Copies (and reorders) `from` into `to`.
  absl::Status CopyInto(const TensorRef& from, const TensorRef& to);

  void Pin(const TensorRef& ref) { list_->buffers[ref.buffer].pinned = true; }

 private:
  absl::StatusOr<std::unique_ptr<Kernel>> Plan(const OpDescription& op) const;
  absl::StatusOr<std::vector<TensorRef>> Append(const Operation& operation, OpDescription op,
                                                std::unique_ptr<Kernel> kernel);
  void Push(OpDescription op, std::unique_ptr<Kernel> kernel, std::vector<int> buffers,
            bool weights);

  Backend* backend_;
  StepList* list_;
  const bool weights_change_;
  bool backward_ = false;
  std::string label_;
  std::map<int, std::vector<TensorRef>> copies_;  // Of a buffer, in other layouts.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_STEP_EMITTER_H_
