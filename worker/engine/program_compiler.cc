#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/engine/fusion.h"
#include "worker/engine/loss.h"
#include "worker/engine/lowering.h"
#include "worker/engine/program_internal.h"

namespace topiary {
namespace {

bool HasGradients(const ProgramOptions& options) {
  return options.mode == ProgramMode::kTraining && options.loss != LossKind::kNone;
}

absl::Status CheckParameters(const InferredGraph& inferred, const ParameterStore& store,
                             bool gradients) {
  for (const auto* names : {&inferred.parameters, &inferred.statistics}) {
    for (const std::string& name : *names) {
      const Parameter* parameter = store.Find(name);
      if (parameter == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("the parameter store has no parameter '", name, "'"));
      }
      if (gradients && parameter->trainable && parameter->gradient == nullptr &&
          parameter->rows == nullptr) {
        return absl::FailedPreconditionError(
            "the parameter store is for inference: it has no gradients to train with");
      }
      if (parameter->shape != inferred.values.at(name).shape) {
        return absl::InvalidArgumentError(absl::StrCat(
            "parameter '", name, "' has shape ", parameter->shape.ToString(), " in the store and ",
            inferred.values.at(name).shape.ToString(), " in the graph"));
      }
    }
  }
  return absl::OkStatus();
}

class Compiler {
 public:
  Compiler(const Graph& graph, InferredGraph inferred, ParameterStore* store, Backend* backend,
           const ProgramOptions& options)
      : graph_(graph),
        inferred_(std::move(inferred)),
        backend_(backend),
        options_(options),
        program_(std::make_unique<CompiledProgram>()),
        lowering_(graph_, inferred_, store, backend,
                  {options.mode == ProgramMode::kTraining, has_gradients(), options.seed,
                   options.recompute_from, &program_->scalars, &options_.sparse_weights},
                  &program_->steps) {
    program_->store = store;
    program_->batch = options.batch;
  }

  absl::StatusOr<std::unique_ptr<CompiledProgram>> Run(const CompiledProgram* weights_of) {
    RETURN_IF_ERROR(StageInputs());
    ASSIGN_OR_RETURN(const LossInput loss_input,
                     FindLossInput(graph_, inferred_, options_.loss, loss_output()));
    program_->output_kind = loss_input.output_kind;
    std::vector<LossTerm> terms;
    if (options_.loss != LossKind::kNone) {
      ASSIGN_OR_RETURN(terms, LossTerms(options_, loss_input, inferred_));
    }
    std::set<std::string> kept = {loss_input.value};
    for (const LossTerm& term : terms) kept.insert(term.value);
    for (const ValueInfo& output : graph_.outputs) kept.insert(output.name);
    const std::vector<FusedNode> nodes = FuseNodes(graph_, inferred_, kept, has_gradients());
    RETURN_IF_ERROR(lowering_.LowerNodes(nodes));
    ASSIGN_OR_RETURN(const std::vector<TensorRef> outputs, PinOutputs());
    for (const LossTerm& term : terms) RETURN_IF_ERROR(AddLoss(term));
    if (has_gradients()) RETURN_IF_ERROR(AddGradients());
    program_->constants = lowering_.TakeConstants();
    if (weights_of != nullptr) UseWeightsOf(*weights_of);
    ASSIGN_OR_RETURN(program_->memory, LayOutAndBind(backend_, &program_->steps));
    StageOutputs(outputs);
    Describe(nodes);
    return std::move(program_);
  }

 private:
  bool has_gradients() const { return HasGradients(options_); }
  const std::string& loss_output() const { return graph_.outputs[options_.loss_output].name; }

  absl::StatusOr<StagedTensor> Stage(const std::string& name,
                                     const TensorDescription& description) {
    StagedTensor staged{name, description.dtype, description.shape, nullptr};
    ASSIGN_OR_RETURN(Buffer memory, backend_->Allocate(description.bytes()));
    staged.data = memory.data();
    program_->staging.push_back(std::move(memory));
    return staged;
  }

  absl::Status StageInputs() {
    for (const ValueInfo& input : graph_.inputs) {
      if (input.dtype != DType::kFloat32 && input.dtype != DType::kInt64) {
        return absl::UnimplementedError(absl::StrCat("input '", input.name, "' is ",
                                                     std::string(DTypeName(input.dtype)),
                                                     "; float32 and int64 inputs are supported"));
      }
      const TensorDescription description{inferred_.values.at(input.name).shape, input.dtype,
                                          Layout::Plain()};
      ASSIGN_OR_RETURN(StagedTensor staged, Stage(input.name, description));
      lowering_.DefineInput(input.name, description, staged.data);
      program_->inputs.push_back(std::move(staged));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<TensorRef>> PinOutputs() {
    std::vector<TensorRef> refs;
    for (const ValueInfo& output : graph_.outputs) {
      lowering_.emitter().set_label(absl::StrCat("output '", output.name, "'"));
      ASSIGN_OR_RETURN(TensorRef ref, lowering_.PlainValue(output.name));
      if (ref.description.dtype != DType::kFloat32) {
        return absl::UnimplementedError(absl::StrCat("output '", output.name, "' is not float32"));
      }
      lowering_.emitter().Pin(ref);
      refs.push_back(std::move(ref));
    }
    return refs;
  }

  // The same steps have the same buffers.
  void UseWeightsOf(const CompiledProgram& other) {
    std::vector<BufferInfo>& buffers = program_->steps.buffers;
    CHECK(!has_gradients()) << "copies of weights that change in each step are nobody else's";
    CHECK_EQ(buffers.size(), other.steps.buffers.size()) << "another graph, or other options";
    for (size_t i = 0; i < buffers.size(); ++i) {
      if (!buffers[i].weights || buffers[i].external != nullptr) continue;
      CHECK_EQ(buffers[i].bytes, other.steps.buffers[i].bytes);
      buffers[i].external = other.memory.addresses[i];
    }
    program_->steps.weights.clear();
  }

  void StageOutputs(const std::vector<TensorRef>& refs) {
    for (size_t i = 0; i < refs.size(); ++i) {
      program_->outputs.push_back({graph_.outputs[i].name, DType::kFloat32, refs[i].shape(),
                                   program_->memory.addresses[refs[i].buffer]});
    }
  }

  // The first term is that of the labels.
  absl::Status AddLoss(const LossTerm& term) {
    const bool is_of_labels = program_->losses.empty();
    ASSIGN_OR_RETURN(StagedTensor wanted, Stage(is_of_labels ? "labels" : term.value, term.wanted));
    const TensorDescription scalar{Shape({1}), DType::kFloat32, Layout::Plain()};
    ASSIGN_OR_RETURN(const StagedTensor loss, Stage("loss", scalar));
    StepEmitter& emitter = lowering_.emitter();
    RETURN_IF_ERROR(LowerLoss(lowering_, term, emitter.External(term.wanted, wanted.data, false),
                              emitter.External(scalar, loss.data, false)));
    program_->losses.push_back(static_cast<const float*>(loss.data));
    if (is_of_labels) program_->labels = std::move(wanted);
    if (!is_of_labels) program_->teacher_values.push_back(std::move(wanted));
    return absl::OkStatus();
  }

  absl::Status AddGradients() {
    RETURN_IF_ERROR(lowering_.LowerGradients());
    if (!program_->steps.backward.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("nothing to train: output '", loss_output(),
                                                   "' depends on no float32 weight"));
  }

  void Describe(const std::vector<FusedNode>& nodes) {
    for (const FusedNode& fused : nodes) {
      program_->updates_statistics |= options_.mode == ProgramMode::kTraining &&
                                      graph_.nodes[fused.index].op_type == "BatchNormalization";
    }
    ProgramStatistics& statistics = program_->statistics;
    statistics.arena_bytes = program_->memory.arena.bytes();
    statistics.unshared_bytes = program_->memory.unshared_bytes;
    statistics.scratch_bytes = program_->memory.scratch.bytes();
    for (const Step& step : program_->steps.forward) {
      statistics.forward_steps.push_back(step.label);
    }
    for (const Step& step : program_->steps.backward) {
      statistics.backward_steps.push_back(step.label);
    }
    statistics.sparse_weights = lowering_.sparse_weights();
  }

  const Graph& graph_;
  const InferredGraph inferred_;
  Backend* const backend_;
  const ProgramOptions options_;
  std::unique_ptr<CompiledProgram> program_;
  Lowering lowering_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CompiledProgram>> CompileProgram(const Graph& graph,
                                                                ParameterStore* store,
                                                                Backend* backend,
                                                                const ProgramOptions& options,
                                                                const CompiledProgram* weights_of) {
  if (!backend->host_accessible()) {
    return absl::UnimplementedError("programs need a backend whose memory the host can access");
  }
  if (options.loss_output < 0 || options.loss_output >= static_cast<int>(graph.outputs.size())) {
    return absl::InvalidArgumentError(absl::StrCat("the graph has ", graph.outputs.size(),
                                                   " outputs, so none of index ",
                                                   options.loss_output));
  }
  std::map<std::string, Shape> input_shapes = options.input_shapes;
  if (input_shapes.empty()) {
    ASSIGN_OR_RETURN(input_shapes, InputShapesForBatch(graph, options.batch));
  }
  ASSIGN_OR_RETURN(InferredGraph inferred, InferShapes(graph, input_shapes));
  RETURN_IF_ERROR(CheckParameters(inferred, *store, HasGradients(options)));
  return Compiler(graph, std::move(inferred), store, backend, options).Run(weights_of);
}

}  // namespace topiary
