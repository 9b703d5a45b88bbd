#include "worker/runtime/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/engine/inference_program.h"
#include "worker/engine/layer_cost.h"
#include "worker/engine/layer_work.h"
#include "worker/engine/parameter_store.h"
#include "worker/export/block_sparse_file.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/batch_norm_folding.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_import.h"
#include "worker/prune/block_skipping.h"

namespace topiary {
namespace {

absl::StatusOr<BlockSparseModel> ReadModel(const std::string& path) {
  if (absl::EndsWith(path, ".safetensors")) return ReadBlockSparseFile(path);
  BlockSparseModel model;
  ASSIGN_OR_RETURN(model.graph, ImportOnnx(path));
  return model;
}

// The blocks of `layer` that have an element other than 0: any other may be left out, whatever its
// support was in training.
absl::StatusOr<BlockSparsePattern> NonzeroBlocks(const PrunableLayer& layer, int64_t block_rows,
                                                 int64_t block_cols, const float* weight) {
  const int64_t rows = std::min(block_rows, layer.rows), cols = std::min(block_cols, layer.cols);
  const int64_t down = (layer.rows - 1) / rows + 1, across = (layer.cols - 1) / cols + 1;
  std::vector<uint8_t> kept(layer.groups * down * across, 0);
  for (int64_t group = 0; group < layer.groups; ++group) {
    uint8_t* of_group = kept.data() + group * down * across;
    for (int64_t row = 0; row < layer.rows; ++row) {
      for (int64_t col = 0; col < layer.cols; ++col) {
        if (weight[layer.Offset(group, row, col)] == 0) continue;
        of_group[row / rows * across + col / cols] = 1;
      }
    }
  }
  return BlockSparsePattern::Create(layer.rows, layer.cols, rows, cols, kept, layer.groups);
}

// Of the weights that the file has in blocks.
absl::StatusOr<SparseWeights> FindKeptBlocks(const BlockSparseModel& model) {
  SparseWeights weights;
  for (const PrunableLayer& layer : FindPrunableLayers(model.graph)) {
    const auto layout = model.layouts.find(layer.weight);
    if (layout == model.layouts.end() || !HasSkippableBlocks(layer)) continue;
    // The file's matrices are as the weights are stored, a layer's are [inputs, outputs].
    int64_t block_rows = layout->second.block_rows, block_cols = layout->second.block_cols;
    if (layer.transposed) std::swap(block_rows, block_cols);
    const Tensor& weight = model.graph.FindInitializer(layer.weight)->value;
    ASSIGN_OR_RETURN(BlockSparsePattern pattern,
                     NonzeroBlocks(layer, block_rows, block_cols, weight.data<float>()));
    weights[layer.weight] = std::make_shared<const BlockSparsePattern>(std::move(pattern));
  }
  return weights;
}

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
  ASSIGN_OR_RETURN(BlockSparseModel model, ReadModel(path));
  model.graph = FoldBatchNormalization(std::move(model.graph));
  auto state = std::make_unique<State>();
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(state->backend, CpuBackend::Create(backend_options));
  InferenceOptions program_options;
  program_options.batch = options.batch;
  program_options.examples_at_once = options.examples_at_once;
  ASSIGN_OR_RETURN(SparseWeights kept, FindKeptBlocks(model));
  ASSIGN_OR_RETURN(
      program_options.sparse_weights,
      ChooseKernels(model.graph, std::move(kept), program_options, options, state->backend.get()));
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
