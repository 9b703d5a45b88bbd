#include "bench/train_stepper.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/engine/embedding_tables.h"
#include "worker/engine/layer_cost.h"
#include "worker/model/id_limits.h"
#include "worker/model/layers.h"
#include "worker/prune/block_skipping.h"
#include "worker/prune/budget.h"
#include "worker/prune/sequential_attention_pp.h"

namespace topiary {
namespace {

constexpr float kLearningRate = 0.01f;
constexpr int64_t kTotalSteps = 1000000000;  // The first fifth is the dense phase.

// The dense phase never asks for tensors.
class NoTensors : public LayerTensors {
 public:
  absl::Span<const float> RawWeights(int) override { return {}; }
  absl::Span<float> MutableRawWeights(int) override { return {}; }
  absl::Span<const float> Gradients(int) override { return {}; }
  absl::Span<float> MutableGradients(int) override { return {}; }
  absl::Span<float> MutableEffectiveWeights(int) override { return {}; }
  absl::Span<const Tensor> Inputs() override { return {}; }
  absl::Span<const float> RawWeight(const std::string&) override { return {}; }
  absl::Span<float> MutableRawWeight(const std::string&) override { return {}; }
};

std::vector<AuxiliaryParameter> AuxiliaryOf(Method* method) {
  std::vector<AuxiliaryParameter> result;
  for (const TrainableState& state : method->trainable_state()) {
    AuxiliaryParameter parameter;
    parameter.name = state.name;
    parameter.size = state.size;
    parameter.value = state.value;
    parameter.gradient = state.gradient;
    parameter.learning_rate_multiplier = static_cast<float>(state.learning_rate_multiplier);
    result.push_back(std::move(parameter));
  }
  return result;
}

// Fills the tensors one after the other.
absl::Status CopyInto(absl::Span<const StagedTensor> tensors, absl::string_view bytes) {
  size_t wanted = 0;
  for (const StagedTensor& tensor : tensors) wanted += tensor.bytes();
  if (wanted != bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat(tensors[0].name, " and what follows take ",
                                                   wanted, " bytes, not ", bytes.size()));
  }
  for (const StagedTensor& tensor : tensors) {
    std::memcpy(tensor.data, bytes.data(), tensor.bytes());
    bytes.remove_prefix(tensor.bytes());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStepper>> TrainStepper::Create(Graph graph, Backend* backend,
                                                                   const Options& options) {
  std::unique_ptr<TrainStepper> stepper(new TrainStepper);
  // SGD without decay, as a job of such a task does.
  ASSIGN_OR_RETURN(const std::set<std::string> tables, FindEmbeddingTables(graph));
  ASSIGN_OR_RETURN(stepper->store_, ParameterStore::CreateWithTables(graph, tables, backend));
  RETURN_IF_ERROR(stepper->store_->DropWeightsOf(&graph));
  ASSIGN_OR_RETURN(stepper->id_limits_, FindIdLimits(graph));
  std::vector<AuxiliaryParameter> auxiliary;
  const bool with_method = options.method != Options::Method::kNone;
  const bool sparse = options.method == Options::Method::kSparsePhase;
  if (with_method) {
    RETURN_IF_ERROR(stepper->CreateMethod(graph, options));
    auxiliary = AuxiliaryOf(stepper->method_.get());
  }
  ProgramOptions program;
  program.batch = options.batch;
  if (sparse) {
    ASSIGN_OR_RETURN(program.sparse_weights,
                     stepper->WeightsWorthSkipping(graph, backend, options.batch));
  }
  program.loss = options.loss;
  ASSIGN_OR_RETURN(stepper->program_,
                   Program::Build(graph, stepper->store_.get(), backend, program));
  if (with_method) {
    ASSIGN_OR_RETURN(stepper->scaling_, BlockScaling::Create(stepper->store_.get()));
  }
  OptimizerOptions optimizer;
  optimizer.kind = OptimizerKind::kSgd;
  optimizer.momentum = 0.9f;
  optimizer.inner_products = with_method;
  ASSIGN_OR_RETURN(stepper->optimizer_,
                   Optimizer::Create(optimizer, stepper->store_.get(), auxiliary));
  return stepper;
}

absl::StatusOr<SparseWeights> TrainStepper::WeightsWorthSkipping(const Graph& graph,
                                                                 Backend* backend,
                                                                 int64_t batch) const {
  std::map<std::string, BlockShape> blocks;
  for (const MethodLayer& layer : method_->layers()) {
    blocks[layer.weight] = layer.partition->block();
  }
  const auto costs = NewMeasuredLayerCosts("");
  const auto go_on = [] { return absl::OkStatus(); };
  ASSIGN_OR_RETURN(const auto work, WorkOfLayers(graph, batch, LayerUse::kTraining, blocks));
  ASSIGN_OR_RETURN(const auto measured, CostsOf(work, costs.get(), backend, go_on));
  return WorthSkipping(KeptBlocksOf(*method_), BreakEvensOf(measured));
}

absl::Status TrainStepper::CreateMethod(const Graph& graph, const Options& asked) {
  const bool sparse = asked.method == Options::Method::kSparsePhase;
  std::set<std::string> trainable;
  for (const Parameter& parameter : store_->parameters()) {
    if (parameter.trainable) trainable.insert(parameter.name);
  }
  PruningTarget target;
  SequentialAttentionPlusPlusOptions options;
  if (sparse) {
    target.sparsity = 0.9;
    target.block = {32, 32};
    options.phases = {{PhaseKind::kSparse, 1}};
  } else if (asked.block > 0) {
    target.block = {asked.block, asked.block};
    target.min_blocks = 1;
    target.exclude_layers = asked.exclude_layers;
  }
  ASSIGN_OR_RETURN(const std::vector<LayerChoice> choices,
                   ChooseLayers(FindPrunableLayers(graph), trainable, target));
  std::vector<MethodLayer> layers;
  for (const LayerChoice& choice : choices) {
    if (choice.partition == nullptr) continue;
    RETURN_IF_ERROR(store_->Reparameterize(choice.layer.weight, choice.partition->runs()));
    layers.push_back({choice.layer.weight, choice.partition});
  }
  for (const MethodLayer& layer : layers) layers_.push_back(store_->Find(layer.weight));
  ASSIGN_OR_RETURN(method_, NewSequentialAttentionPlusPlus(options, target, layers, kTotalSteps));
  tensors_ = std::make_unique<NoTensors>();
  if (!sparse) return absl::OkStatus();
  // Its first step freezes the support: the blocks of the largest logits.
  for (const TrainableState& logits : method_->trainable_state()) {
    Random random(1, kStreamTest, logits.size);
    for (int64_t i = 0; i < logits.size; ++i) logits.value[i] = 0.1f * random.Normal();
  }
  method_->BeginStep(step_++, *tensors_);
  return absl::OkStatus();
}

absl::Status TrainStepper::SetBatch(const std::string& inputs, const std::string& labels) {
  RETURN_IF_ERROR(CopyInto(program_->inputs(), inputs));
  return CopyInto(absl::MakeConstSpan(&program_->labels(), 1), labels);
}

void TrainStepper::FillBatch() {
  Random random(1, kStreamTest, 0);
  for (const StagedTensor& input : program_->inputs()) {
    std::memset(input.data, 0, input.bytes());
    const auto limits = id_limits_.find(input.name);
    if (limits == id_limits_.end() || input.dtype != DType::kInt64) continue;
    auto* ids = static_cast<int64_t*>(input.data);
    const size_t per_example = limits->second.size(), count = input.bytes() / sizeof(int64_t);
    for (size_t i = 0; i < count; ++i) {
      ids[i] = static_cast<int64_t>(random.Below(limits->second[i % per_example]));
    }
  }
  std::memset(program_->labels().data, 0, program_->labels().bytes());
}

void TrainStepper::Step() {
  if (method_ != nullptr) BeginAttention();
  program_->ForwardBackward();
  optimizer_->StepStore(kLearningRate);
  if (method_ != nullptr) EndAttention();
  optimizer_->StepAuxiliary();
  ++step_;
}

void TrainStepper::BeginAttention() {
  if (method_->BeginStep(step_, *tensors_).reset_optimizer) optimizer_->Reset();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const absl::Span<const float> scales = method_->scales(static_cast<int>(i));
    std::copy(scales.begin(), scales.end(), layers_[i]->block_scale);
  }
  scaling_->ApplyScales();
}

void TrainStepper::EndAttention() {
  std::vector<absl::Span<const float>> products;
  products.reserve(layers_.size());
  for (const Parameter* layer : layers_) {
    products.emplace_back(layer->block_inner_product, layer->runs->block_count);
  }
  method_->EndStep(products);
}

}  // namespace topiary
