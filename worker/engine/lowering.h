// Turns the nodes of a graph into steps: the values by name, what the operators'
// rules (ops/) need to know, and the tape that differentiates them.
#ifndef TOPIARY_WORKER_ENGINE_LOWERING_H_
#define TOPIARY_WORKER_ENGINE_LOWERING_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/fusion.h"
#include "worker/engine/gradient_tape.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/step_emitter.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"

namespace topiary {

struct LoweringOptions {
  bool training = false;  // Statistics of the batch, dropout.
  bool gradients = false;
  uint64_t seed = 0;
  int64_t recompute_from = 0;  // ProgramOptions::recompute_from.
  const StepScalars* scalars = nullptr;
  // ProgramOptions::sparse_weights.
  const std::map<std::string, std::shared_ptr<const BlockSparsePattern>>* sparse_weights = nullptr;
};

// Thread-compatible. Everything passed to the constructor must outlive it.
class Lowering {
 public:
  Lowering(const Graph& graph, const InferredGraph& inferred, ParameterStore* store,
           Backend* backend, const LoweringOptions& options, StepList* list);

  // A graph input in memory of the caller, plain.
  void DefineInput(const std::string& name, const TensorDescription& description, void* memory);
  // Emits the forward steps of all of `nodes`, in their order.
  absl::Status LowerNodes(const std::vector<FusedNode>& nodes);
  // Emits the backward steps, given that gradients of some values were delivered to the tape.
  absl::Status LowerGradients();

  // Memory of the constants that steps read; the caller keeps it as long as the steps.
  std::vector<Buffer> TakeConstants() { return std::move(constants_); }

  // For the rules -----------------------------------------------------------------

  const Graph& graph() const { return graph_; }
  const LoweringOptions& options() const { return options_; }
  StepEmitter& emitter() { return emitter_; }
  GradientTape& tape() { return tape_; }

  const Node& node(const FusedNode& fused) const { return graph_.nodes[fused.index]; }
  std::string Label(const FusedNode& fused) const;

  // The value `name`: a result, an input, a parameter, a statistic or a constant, in whatever
  // layout it lies. UNIMPLEMENTED if it is none of these, or neither float32 nor int64.
  absl::StatusOr<TensorRef> Value(const std::string& name);
  // The same in plain layout.
  absl::StatusOr<TensorRef> PlainValue(const std::string& name);
  // A running statistic, to be updated in place. UNIMPLEMENTED where it is not an initializer.
  absl::StatusOr<TensorRef> Statistic(const std::string& name);
  // Null where `name` is not known before a batch runs.
  const Tensor* Constant(const std::string& name) const;
  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }

  void Define(const std::string& name, TensorRef ref) { values_[name] = std::move(ref); }
  // Defines the result of `fused` and records how to differentiate it.
  void Finish(const FusedNode& fused, TensorRef result, GradientTape::Backward backward);

  // Layout to plan a weight of a matrix product with: a reorder per step does not pay in training.
  Layout MatrixWeightLayout() const { return options_.gradients ? Layout::Plain() : Layout::Any(); }

  // The rows of parameter `name`, where gradients are of those alone that a step reads; else null.
  EmbeddingRows* RowsOf(const std::string& name) const;

  // Which blocks of weight `name`, as `groups` matrices [inputs, outputs], count; null where all
  // do, or where the weight is used more than once or its pattern is of other matrices. To be asked
  // once for each product.
  std::shared_ptr<const BlockSparsePattern> PatternOf(const std::string& name, int64_t groups,
                                                      int64_t inputs, int64_t outputs);
  // The weights whose patterns were given out, in the order of the nodes.
  const std::vector<std::string>& sparse_weights() const { return sparse_weights_; }

  // Lets the backward pass compute value `name` again by `operation` instead of keeping it from the
  // forward pass; the operands of `operation` are kept. Nothing changes where the value is small,
  // or kept in any case, because the backward pass of another operator than a product reads it.
  void AllowRecomputation(const std::string& name, Operation operation);
  // Value `name`, which is `ref`, for a step of the backward pass: computed again, once for all
  // such steps, where that is allowed.
  absl::StatusOr<TensorRef> ForBackward(const std::string& name, const TensorRef& ref);

  // Emits `operation`, first as it is, and where the backend refuses that, as `without`
  // followed by a Relu. Returns the one result.
  absl::StatusOr<TensorRef> EmitWithRelu(const Operation& operation, const OpParameters& without);

  // The gradient of the result of `fused`, through its Relu if it has one, from `dst`, the result.
  absl::StatusOr<TensorRef> GradientBeforeRelu(const FusedNode& fused, const TensorRef& dst,
                                               const Layout& layout);

 private:
  void RequireGradients(const std::vector<FusedNode>& nodes);
  absl::StatusOr<TensorRef> ConstantValueRef(const std::string& name, const Tensor& tensor);

  const Graph& graph_;
  const InferredGraph& inferred_;
  ParameterStore* store_;
  Backend* backend_;
  const LoweringOptions options_;
  StepEmitter emitter_;
  GradientTape tape_;
  std::map<std::string, TensorRef> values_;
  std::map<std::string, int> uses_;  // Operands that each value is.
  std::vector<std::string> sparse_weights_;
  std::map<std::string, Operation> recomputations_;
  std::map<std::string, TensorRef> recomputed_;
  std::vector<Buffer> constants_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LOWERING_H_
