#include "worker/engine/lowering.h"

#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/engine/ops/op_rules.h"

namespace topiary {
namespace {

TensorDescription PlainDescription(const Shape& shape) {
  return {shape, DType::kFloat32, Layout::Plain()};
}

bool IsStatistic(const InferredGraph& inferred, const std::string& name) {
  for (const std::string& statistic : inferred.statistics) {
    if (statistic == name) return true;
  }
  return false;
}

// Whether the backward pass of `node` reads value `name` itself, not by Lowering::ForBackward().
bool ReadsInBackwardPass(const Node& node, const std::string& name) {
  for (const char* op_type : {"Add", "AveragePool", "GlobalAveragePool", "MaxPool"}) {
    if (node.op_type == op_type) return false;
  }
  const bool product = node.op_type == "MatMul" || node.op_type == "Gemm" || node.op_type == "Conv";
  for (size_t i = product ? 1 : 0; i < node.inputs.size(); ++i) {
    if (node.input(i) == name) return true;
  }
  return false;
}

}  // namespace

Lowering::Lowering(const Graph& graph, const InferredGraph& inferred, ParameterStore* store,
                   Backend* backend, const LoweringOptions& options, StepList* list)
    : graph_(graph),
      inferred_(inferred),
      store_(store),
      backend_(backend),
      options_(options),
      emitter_(backend, list, /*weights_change=*/options.gradients),
      tape_(&emitter_) {}

void Lowering::DefineInput(const std::string& name, const TensorDescription& description,
                           void* memory) {
  Define(name, emitter_.External(description, memory, false));
}

std::string Lowering::Label(const FusedNode& fused) const {
  return NodeLabel(node(fused), fused.index);
}

absl::Status Lowering::LowerNodes(const std::vector<FusedNode>& nodes) {
  for (int index : inferred_.live_nodes) {
    for (const std::string& input : graph_.nodes[index].inputs) ++uses_[input];
  }
  if (options_.gradients) RequireGradients(nodes);
  for (const FusedNode& fused : nodes) {
    const OpRule rule = fused.attention.has_value()
                            ? LowerAttention
                            : FindOpRule(fused.gelu ? "Gelu" : node(fused).op_type);
    if (rule == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat(Label(fused), ": this operator cannot run on a batch"));
    }
    emitter_.set_label(Label(fused));
    const absl::Status status = rule(*this, fused);
    if (!status.ok()) {
      const bool named = absl::StartsWith(status.message(), Label(fused));
      return named
                 ? status
                 : absl::Status(status.code(), absl::StrCat(Label(fused), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

// A value needs a gradient if a parameter reaches it.
void Lowering::RequireGradients(const std::vector<FusedNode>& nodes) {
  for (const std::string& name : inferred_.parameters) {
    const Parameter* parameter = store_->Find(name);
    if (parameter == nullptr || !parameter->trainable) continue;
    tape_.Require(name, parameter->shape);
    if (parameter->rows != nullptr) continue;  // Its Gather knows where its gradient goes.
    const TensorRef memory =
        emitter_.External(PlainDescription(parameter->shape), parameter->gradient, false);
    tape_.SetDestination(name, memory, uses_[name]);
  }
  for (const FusedNode& fused : nodes) {
    bool required = false;
    for (const std::string& input : OperandsOf(graph_, fused)) required |= tape_.Requires(input);
    if (required) tape_.Require(fused.result, ShapeOf(fused.result));
  }
}

absl::Status Lowering::LowerGradients() {
  emitter_.BeginBackward();
  return tape_.Run();
}

absl::StatusOr<TensorRef> Lowering::Value(const std::string& name) {
  const auto known = values_.find(name);
  if (known != values_.end()) return known->second;
  if (const Parameter* parameter = store_->Find(name);
      parameter != nullptr && !IsStatistic(inferred_, name)) {
    const TensorRef ref =
        emitter_.External(PlainDescription(parameter->shape), parameter->effective, true);
    Define(name, ref);
    return ref;
  }
  if (IsStatistic(inferred_, name)) return Statistic(name);
  if (const Tensor* constant = Constant(name); constant != nullptr) {
    return ConstantValueRef(name, *constant);
  }
  return absl::UnimplementedError(absl::StrCat("value '", name, "' cannot be computed on a batch"));
}

absl::StatusOr<TensorRef> Lowering::PlainValue(const std::string& name) {
  ASSIGN_OR_RETURN(const TensorRef ref, Value(name));
  return emitter_.InLayout(ref, Layout::Plain());
}

absl::StatusOr<TensorRef> Lowering::Statistic(const std::string& name) {
  const auto known = values_.find(name);
  if (known != values_.end()) return known->second;
  const Parameter* parameter = store_->Find(name);
  if (parameter == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("running statistic '", name, "' must be an initializer of the graph"));
  }
  const TensorRef ref =
      emitter_.External(PlainDescription(parameter->shape), parameter->value, false);
  Define(name, ref);
  return ref;
}

const Tensor* Lowering::Constant(const std::string& name) const {
  return ConstantValue(graph_, inferred_, name);
}

absl::StatusOr<TensorRef> Lowering::ConstantValueRef(const std::string& name,
                                                     const Tensor& tensor) {
  if (tensor.dtype() != DType::kFloat32 && tensor.dtype() != DType::kInt64) {
    return absl::UnimplementedError(absl::StrCat("constant '", name, "' is ",
                                                 std::string(DTypeName(tensor.dtype())),
                                                 "; only float32 and int64 can run on a batch"));
  }
  ASSIGN_OR_RETURN(Buffer memory, backend_->Allocate(tensor.byte_size()));
  if (tensor.byte_size() != 0) std::memcpy(memory.data(), tensor.raw_data(), tensor.byte_size());
  const TensorRef ref =
      emitter_.External({tensor.shape(), tensor.dtype(), Layout::Plain()}, memory.data(), true);
  constants_.push_back(std::move(memory));
  Define(name, ref);
  return ref;
}

void Lowering::Finish(const FusedNode& fused, TensorRef result, GradientTape::Backward backward) {
  Define(fused.result, std::move(result));
  tape_.Record(fused.result, Label(fused), std::move(backward));
}

EmbeddingRows* Lowering::RowsOf(const std::string& name) const {
  const Parameter* parameter = options_.gradients ? store_->Find(name) : nullptr;
  return parameter == nullptr ? nullptr : parameter->rows.get();
}

void Lowering::AllowRecomputation(const std::string& name, Operation operation) {
  if (!options_.gradients || ShapeOf(name).element_count() < options_.recompute_from) return;
  for (const ValueInfo& output : graph_.outputs) {
    if (output.name == name) return;
  }
  for (int index : inferred_.live_nodes) {
    if (ReadsInBackwardPass(graph_.nodes[index], name)) return;
  }
  recomputations_.insert({name, std::move(operation)});
}

absl::StatusOr<TensorRef> Lowering::ForBackward(const std::string& name, const TensorRef& ref) {
  const auto operation = recomputations_.find(name);
  if (operation == recomputations_.end()) return ref;
  auto again = recomputed_.find(name);
  if (again == recomputed_.end()) {
    ASSIGN_OR_RETURN(const std::vector<TensorRef> results, emitter_.Emit(operation->second));
    again = recomputed_.insert({name, results[0]}).first;
  }
  return emitter_.View(again->second, ref.shape());
}

std::shared_ptr<const BlockSparsePattern> Lowering::PatternOf(const std::string& name,
                                                              int64_t groups, int64_t inputs,
                                                              int64_t outputs) {
  const auto pattern = options_.sparse_weights->find(name);
  const auto uses = uses_.find(name);
  const bool usable = pattern != options_.sparse_weights->end() && uses != uses_.end() &&
                      uses->second == 1 && pattern->second->groups == groups &&
                      pattern->second->rows == inputs && pattern->second->cols == outputs;
  if (!usable) return nullptr;
  sparse_weights_.push_back(name);
  return pattern->second;
}

absl::StatusOr<TensorRef> Lowering::EmitWithRelu(const Operation& operation,
                                                 const OpParameters& without) {
  absl::StatusOr<std::vector<TensorRef>> fused = emitter_.Emit(operation);
  if (fused.ok()) return (*fused)[0];
  if (!absl::IsUnimplemented(fused.status())) return fused.status();
  Operation plain = operation;
  plain.parameters = without;
  ASSIGN_OR_RETURN(const std::vector<TensorRef> src, emitter_.Emit(plain));
  ASSIGN_OR_RETURN(const std::vector<TensorRef> dst,
                   emitter_.Emit({OpKind::kUnaryForward,
                                  UnaryParameters(),
                                  {Keep(src[0])},
                                  {{src[0].description, std::nullopt}}}));
  return dst[0];
}

absl::StatusOr<TensorRef> Lowering::GradientBeforeRelu(const FusedNode& fused, const TensorRef& dst,
                                                       const Layout& layout) {
  if (!fused.relu) return tape_.Total(fused.result, layout);
  ASSIGN_OR_RETURN(const TensorRef d_dst, tape_.Total(fused.result, dst.layout()));
  ASSIGN_OR_RETURN(const std::vector<TensorRef> gradient,
                   emitter_.Emit({OpKind::kUnaryBackward,
                                  UnaryParameters(),
                                  {Keep(dst), Keep(d_dst)},
                                  {{dst.description, std::nullopt}}}));
  return emitter_.InLayout(gradient[0], layout.is_any() ? gradient[0].layout() : layout);
}

}  // namespace topiary
