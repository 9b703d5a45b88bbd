#include "worker/runtime/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/engine/inference_program.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/parameter_store.h"
#include "worker/export/served_model.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/batch_norm_folding.h"
#include "worker/prune/block_skipping.h"

namespace topiary {
namespace {

// Which of `kept` programs are to leave blocks out of.
absl::StatusOr<SparseWeights> ChooseKernels(const Graph& graph, SparseWeights kept,
                                            const InferenceOptions& program,
                                            const ModelOptions& options, Backend* backend) {
  if (options.kernels == ModelOptions::Kernels::kDense) return SparseWeights();
  if (options.kernels == ModelOptions::Kernels::kBlockSparse || kept.empty()) return kept;
  const auto costs = NewMeasuredLayerCosts(options.layer_costs_folder);
  ASSIGN_OR_RETURN(const BreakEvenDensities break_evens,
                   InferenceBreakEvens(graph, kept, program, costs.get(), backend,
                                       [] { return absl::OkStatus(); }));
  return WorthSkipping(kept, break_evens);
}

absl::StatusOr<std::vector<ModelTensor>> Describe(absl::Span<const StagedTensor> staged) {
  std::vector<ModelTensor> tensors;
  for (const StagedTensor& from : staged) {
    ModelTensor tensor;
    tensor.name = from.name;
    if (from.dtype == DType::kInt64) {
      tensor.type = ModelTensor::Type::kInt64;
    } else if (from.dtype != DType::kFloat32) {
      return absl::UnimplementedError(absl::StrCat("'", from.name, "' is of type ",
                                                   DTypeName(from.dtype),
                                                   "; inputs and outputs are float32 or int64"));
    }
    tensor.shape.assign(from.shape.dims().begin(), from.shape.dims().end());
    tensor.data = from.data;
    tensor.bytes = from.bytes();
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace

struct Model::State {
  std::unique_ptr<CpuBackend> backend;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<InferenceProgram> program;
  std::vector<ModelTensor> inputs;
  std::vector<ModelTensor> outputs;
};

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& path,
                                                   const ModelOptions& options) {
  if (options.batch < 1 || options.threads < 0) {
    return absl::InvalidArgumentError(absl::StrCat("a model runs no batch of ", options.batch,
                                                   " on ", options.threads, " threads"));
  }
  ASSIGN_OR_RETURN(ServedModel model, ReadServedModel(path));
  model.graph = FoldBatchNormalization(std::move(model.graph));
  auto state = std::make_unique<State>();
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(state->backend, CpuBackend::Create(backend_options));
  InferenceOptions program_options;
  program_options.batch = options.batch;
  program_options.examples_at_once = options.examples_at_once;
  ASSIGN_OR_RETURN(program_options.sparse_weights,
                   ChooseKernels(model.graph, std::move(model.kept), program_options, options,
                                 state->backend.get()));
  ASSIGN_OR_RETURN(state->store, ParameterStore::Create(model.graph, state->backend.get(),
                                                        StorePurpose::kInference));
  ASSIGN_OR_RETURN(state->program, InferenceProgram::Build(model.graph, state->store.get(),
                                                           state->backend.get(), program_options));
  ASSIGN_OR_RETURN(state->inputs, Describe(state->program->inputs()));
  ASSIGN_OR_RETURN(state->outputs, Describe(state->program->outputs()));
  return std::unique_ptr<Model>(new Model(std::move(state)));
}

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}

Model::~Model() = default;

absl::Span<const ModelTensor> Model::inputs() const { return state_->inputs; }

absl::Span<const ModelTensor> Model::outputs() const { return state_->outputs; }

void Model::Run() { state_->program->Run(); }

const std::vector<std::string>& Model::sparse_weights() const {
  return state_->program->statistics().sparse_weights;
}

}  // namespace topiary
