#include "worker/pipeline/training_loop.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/engine/embedding_tables.h"
#include "worker/engine/gradient_clipping.h"
#include "worker/pipeline/batch_feed.h"
#include "worker/pipeline/task.h"

namespace topiary {
namespace {

Tensor VectorTensor(const float* values, int64_t size) {
  Tensor tensor(DType::kFloat32, Shape({size}));
  std::copy(values, values + size, tensor.data<float>());
  return tensor;
}

absl::Status CheckRewind(int64_t step, const Method& method) {
  if (method.plan().phases().empty()) {
    return absl::InvalidArgumentError("spec.target.rewind: nothing is trained, so leave it out");
  }
  const std::optional<int64_t> last = method.last_settling_step();
  if (!last.has_value()) {
    return absl::InvalidArgumentError(
        "spec.target.rewind: what is pruned is not settled before the run ends, so that it would "
        "never go back: lower end_fraction of the method, or leave it out");
  }
  if (step < *last) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "spec.target.rewind.to_fraction means step ", step, ", which is not before step ", *last,
      ", the last from which the run would go back: go back further, or prune later"));
}

}  // namespace

StoreLayerTensors::StoreLayerTensors(ParameterStore* store, absl::Span<const MethodLayer> layers,
                                     Optimizer* optimizer)
    : store_(store), optimizer_(optimizer) {
  for (const MethodLayer& layer : layers) {
    parameters_.push_back(layer.group != nullptr ? nullptr : store->Find(layer.weight));
  }
}

absl::Span<const float> StoreLayerTensors::RawWeights(int index) {
  const Parameter& parameter = *parameters_[index];
  return {parameter.value, static_cast<size_t>(parameter.size)};
}

absl::Span<float> StoreLayerTensors::MutableRawWeights(int index) {
  const Parameter& parameter = *parameters_[index];
  store_->MarkChanged();
  return {parameter.value, static_cast<size_t>(parameter.size)};
}

absl::Span<const float> StoreLayerTensors::Gradients(int index) {
  const Parameter& parameter = *parameters_[index];
  return {parameter.gradient, static_cast<size_t>(parameter.size)};
}

absl::Span<float> StoreLayerTensors::MutableGradients(int index) {
  const Parameter& parameter = *parameters_[index];
  return {parameter.gradient, static_cast<size_t>(parameter.size)};
}

absl::Span<float> StoreLayerTensors::MutableEffectiveWeights(int index) {
  const Parameter& parameter = *parameters_[index];
  store_->MarkChanged();
  return {parameter.effective, static_cast<size_t>(parameter.size)};
}

// Weights of layers have no rows that lag behind: they are scaled, and updated whole.
const Parameter& StoreLayerTensors::Settled(const std::string& name) {
  const Parameter& parameter = *store_->Find(name);
  if (parameter.rows != nullptr && optimizer_ != nullptr) optimizer_->SettleRows();
  return parameter;
}

absl::Span<const float> StoreLayerTensors::RawWeight(const std::string& name) {
  const Parameter& parameter = Settled(name);
  return {parameter.value, static_cast<size_t>(parameter.size)};
}

absl::Span<float> StoreLayerTensors::MutableRawWeight(const std::string& name) {
  const Parameter& parameter = Settled(name);
  store_->MarkChanged();
  return {parameter.value, static_cast<size_t>(parameter.size)};
}

absl::StatusOr<std::unique_ptr<TrainingLoop>> TrainingLoop::Create(
    const Graph& graph, Backend* backend, const Dataset& train, const TaskSpec& task,
    std::unique_ptr<Method> method, BreakEvenDensities break_evens,
    std::optional<RewindSpec> rewind) {
  CHECK(backend->host_accessible()) << "training state is read by the host";
  auto loop = std::unique_ptr<TrainingLoop>(new TrainingLoop());
  loop->train_ = &train;
  loop->seed_ = task.seed;
  loop->clip_norm_ = task.clip_gradient_norm.value_or(0);
  loop->method_ = std::move(method);
  loop->break_evens_ = std::move(break_evens);
  loop->learning_rate_ = LearningRateScheduleOf(task.learning_rate, loop->total_steps());
  // A calibrated network may be left as it is.
  if (loop->total_steps() > 0) {
    RETURN_IF_ERROR(ValidateLearningRateSchedule(loop->learning_rate_));
  }
  loop->rewind_ = rewind;
  if (rewind.has_value()) RETURN_IF_ERROR(CheckRewind(loop->RewindStep(), *loop->method_));
  RETURN_IF_ERROR(loop->Attach(graph, backend, task));
  RETURN_IF_ERROR(loop->CreateOptimizer(task));
  loop->tensors_ = std::make_unique<StoreLayerTensors>(loop->store_.get(), loop->method_->layers(),
                                                       loop->optimizer_.get());
  LoaderOptions options;
  options.batch_size = loop->program_->batch();
  options.seed = task.seed;
  ASSIGN_OR_RETURN(loop->loader_, Loader::Create(train, options));
  return loop;
}

absl::Status TrainingLoop::Attach(const Graph& graph, Backend* backend, const TaskSpec& task) {
  ASSIGN_OR_RETURN(scaled_, ScaledWeights::Create(method_->layers()));
  std::set<std::string> tables;
  const OptimizerOptions optimizer = OptimizerOptionsOf(task.optimizer);
  if (CanUpdateRowsLater(optimizer.kind, optimizer.weight_decay, clip_norm_ > 0)) {
    ASSIGN_OR_RETURN(tables, FindEmbeddingTables(graph));
  }
  // Scales are of all rows of a weight, and so are updates.
  for (const ScaledWeight& weight : scaled_.weights()) tables.erase(weight.name);
  ASSIGN_OR_RETURN(store_, ParameterStore::CreateWithTables(graph, tables, backend));
  for (const ScaledWeight& weight : scaled_.weights()) {
    RETURN_IF_ERROR(store_->Reparameterize(weight.name, weight.runs));
    scaled_parameters_.push_back(store_->Find(weight.name));
  }
  graph_ = &graph;
  backend_ = backend;
  program_options_.batch = std::min(task.batch_size, train_->size());
  program_options_.loss = LossKindOf(task.loss);
  program_options_.seed = task.seed;
  if (task.distillation.has_value()) {
    LearnFromTeacher(*task.distillation, task.loss, &program_options_);
  }
  RETURN_IF_ERROR(BuildProgram());
  if (task.distillation.has_value()) {
    ASSIGN_OR_RETURN(teacher_, Teacher::Create(graph, backend, *program_));
  }
  RETURN_IF_ERROR(CheckOutputPerExample(graph, *program_));
  if (!scaled_parameters_.empty()) {
    ASSIGN_OR_RETURN(scaling_, BlockScaling::Create(store_.get()));
  }
  return absl::OkStatus();
}

absl::Status TrainingLoop::CreateOptimizer(const TaskSpec& task) {
  const std::vector<TrainableState> state = method_->trainable_state();
  std::vector<AuxiliaryParameter> auxiliary;
  for (const TrainableState& s : state) {
    AuxiliaryParameter parameter;
    parameter.name = s.name;
    parameter.size = s.size;
    parameter.value = s.value;
    parameter.gradient = s.gradient;
    parameter.learning_rate_multiplier = static_cast<float>(s.learning_rate_multiplier);
    if (s.weight_decay.has_value()) parameter.weight_decay = static_cast<float>(*s.weight_decay);
    auxiliary.push_back(std::move(parameter));
  }
  OptimizerOptions options = OptimizerOptionsOf(task.optimizer);
  options.inner_products = clip_norm_ == 0 && method_->wants_inner_products();
  RETURN_IF_ERROR(ValidateOptimizerOptions(options));
  ASSIGN_OR_RETURN(optimizer_, Optimizer::Create(options, store_.get(), auxiliary));
  if (clip_norm_ > 0) {
    ASSIGN_OR_RETURN(norm_, TrainedGradientNorm::Create(store_.get(), state));
  }
  return absl::OkStatus();
}

absl::Status TrainingLoop::BuildProgram() {
  program_.reset();  // Two need not fit into memory.
  ASSIGN_OR_RETURN(program_, Program::Build(*graph_, store_.get(), backend_, program_options_));
  return absl::OkStatus();
}

// Builds the program anew where a phase with a frozen support begins or ends.
absl::Status TrainingLoop::FitProgram(const StepActions& actions) {
  const PhasePosition position = method_->plan().At(next_step_);
  if (position.index == fitted_phase_ && actions.changed_blocks == 0) return absl::OkStatus();
  fitted_phase_ = position.index;
  SparseWeights weights;
  if (position.phase.kind == PhaseKind::kSparse) {
    weights = WorthSkipping(KeptBlocksOf(*method_), break_evens_);
  }
  return LeaveOut(std::move(weights));
}

// Builds the program anew, to leave out the pruned blocks of `weights` and of no others.
absl::Status TrainingLoop::LeaveOut(SparseWeights weights) {
  if (weights.empty() && program_options_.sparse_weights.empty()) return absl::OkStatus();
  for (const auto& [name, pattern] : weights) {
    const Parameter* parameter = store_->Find(name);
    std::fill_n(parameter->gradient, parameter->size, 0.0F);
  }
  program_options_.sparse_weights = std::move(weights);
  return BuildProgram();
}

void TrainingLoop::StartFrom(const std::map<std::string, Tensor>& weights) {
  if (weights.empty()) return;
  CHECK_EQ(next_step_, 0);
  for (const auto& [name, values] : weights) {
    const Parameter* parameter = store_->Find(name);
    CHECK(parameter != nullptr && parameter->size == values.element_count()) << name;
    std::copy_n(values.data<float>(), parameter->size, parameter->value);
  }
  store_->MarkChanged();
  RefreshScaledWeights();
}

absl::StatusOr<TrainingLoop::StepResult> TrainingLoop::Step() {
  CHECK_LT(next_step_, total_steps());
  const Batch& batch = loader_->Next();
  tensors_->set_inputs(batch.inputs);
  const StepActions actions = method_->BeginStep(next_step_, *tensors_);
  if (actions.reset_optimizer) optimizer_->Reset();
  if (actions.reset_trainable_state) optimizer_->ResetAuxiliary();
  RememberOrRewind(actions);
  ApplyScales();
  RETURN_IF_ERROR(FitProgram(actions));
  FeedBatch(batch, *program_);
  if (teacher_ != nullptr) teacher_->Teach(*program_);
  program_->set_step(static_cast<uint64_t>(next_step_));
  program_->ForwardBackward();
  StepResult result;
  result.loss = program_->loss();
  result.changed_blocks = actions.changed_blocks;
  if (!std::isfinite(result.loss)) {
    return absl::FailedPreconditionError(
        absl::StrCat("training diverged: the loss is ", result.loss, " at step ", next_step_,
                     " of ", total_steps(), ", learning rate ", LearningRateNow(),
                     ": lower spec.task.learning_rate.base, add warm-up steps, set "
                     "spec.task.clip_gradient_norm, or normalize the data"));
  }
  method_->AfterBackward(*tensors_);
  if (actions.hold_weights) {
    scaling_->ComputeInnerProducts();
    SendInnerProducts();
  } else {
    const double learning_rate = LearningRateNow();
    Update(static_cast<float>(learning_rate));
    method_->AfterUpdate(learning_rate, *tensors_);
  }
  result.phase_ended = method_->plan().At(next_step_).phase.end() == next_step_ + 1;
  ++next_step_;
  return result;
}

int64_t TrainingLoop::RewindStep() const {
  return static_cast<int64_t>(rewind_->to_fraction * static_cast<double>(total_steps()));
}

void TrainingLoop::RememberOrRewind(const StepActions& actions) {
  if (!rewind_.has_value()) return;
  if (rewind_->weights && next_step_ == RewindStep()) {
    optimizer_->SettleRows();
    for (const Parameter& parameter : store_->parameters()) {
      remembered_.insert_or_assign(parameter.name, VectorTensor(parameter.value, parameter.size));
    }
  }
  if (!actions.settled_until.has_value() || next_step_ <= RewindStep()) return;
  if (rewind_->weights) {
    optimizer_->SettleRows();  // None may have updates to catch up with.
    for (const Parameter& parameter : store_->parameters()) {
      const absl::Span<const float> values = remembered_.at(parameter.name).span<float>();
      std::copy(values.begin(), values.end(), parameter.value);
    }
    store_->MarkChanged();
    optimizer_->Reset();
    // Nothing goes back any more.
    if (*actions.settled_until == total_steps()) remembered_.clear();
  }
  rewound_at_ = next_step_;
  rewound_until_ = *actions.settled_until;
}

// The steps from the one gone back to on, at the pace at which they fit in what there is.
double TrainingLoop::LearningRateNow() const {
  int64_t step = next_step_;
  if (rewound_at_ >= 0 && rewind_->learning_rate) {
    const double pace = static_cast<double>(total_steps() - RewindStep()) /
                        static_cast<double>(rewound_until_ - rewound_at_);
    const auto passed = static_cast<double>(next_step_ - rewound_at_);
    step = std::min(total_steps() - 1, RewindStep() + static_cast<int64_t>(passed * pace));
  }
  return LearningRateAt(learning_rate_, step);
}

void TrainingLoop::ApplyScales() {
  if (scaling_ == nullptr) return;
  for (size_t i = 0; i < scaled_parameters_.size(); ++i) {
    const Parameter& parameter = *scaled_parameters_[i];
    const auto blocks = static_cast<size_t>(parameter.runs->block_count);
    scaled_.CopyScales(*method_, static_cast<int>(i), {parameter.block_scale, blocks});
  }
  scaling_->ApplyScales();
  method_->WriteEffectiveWeights(*tensors_);
}

void TrainingLoop::Update(float learning_rate) {
  if (norm_ == nullptr) {
    optimizer_->StepStore(learning_rate);  // Makes the inner products on its way.
    if (method_->wants_inner_products()) SendInnerProducts();
    optimizer_->StepAuxiliary();
    return;
  }
  // Clipping needs the gradients of the method's state before anything is updated.
  if (method_->wants_inner_products()) {
    scaling_->ComputeInnerProducts();
    SendInnerProducts();
  }
  optimizer_->Step(learning_rate, ClipFactor(norm_->Compute(), clip_norm_));
}

void TrainingLoop::SendInnerProducts() {
  std::vector<absl::Span<const float>> products;
  products.reserve(scaled_parameters_.size());
  for (const Parameter* parameter : scaled_parameters_) {
    products.emplace_back(parameter->block_inner_product, parameter->runs->block_count);
  }
  method_->EndStep(scaled_.InnerProducts(products));
}

void TrainingLoop::RefreshEffectiveWeights() {
  optimizer_->SettleRows();
  RefreshScaledWeights();
}

void TrainingLoop::RefreshScaledWeights() {
  method_->RefreshScales();
  ApplyScales();
}

absl::Status TrainingLoop::ReestimateBatchNorm(int64_t batches,
                                               const std::function<absl::Status()>& check) {
  const absl::Span<const Parameter> parameters = store_->parameters();
  const bool has_statistics = std::any_of(parameters.begin(), parameters.end(),
                                          [](const Parameter& p) { return !p.trainable; });
  if (!has_statistics || batches == 0) return absl::OkStatus();
  // A run that resumed after its last step has not built the program of the last phase: the sums of
  // both must be the same.
  fitted_phase_ = -1;
  RETURN_IF_ERROR(LeaveOut({}));
  LoaderOptions options;
  options.batch_size = program_->batch();
  options.seed = Random(seed_, kStreamBatchNormReestimate, 0).Next();
  ASSIGN_OR_RETURN(const std::unique_ptr<Loader> loader, Loader::Create(*train_, options));
  for (int64_t i = 0; i < batches; ++i) {
    RETURN_IF_ERROR(check());
    FeedBatch(loader->Next(), *program_);
    program_->set_step(static_cast<uint64_t>(total_steps() + i));
    program_->set_running_momentum(static_cast<float>(i) / static_cast<float>(i + 1));
    program_->Forward();
  }
  program_->set_running_momentum(-1);
  return absl::OkStatus();
}

absl::Status TrainingLoop::CheckWeightsAreFinite() const {
  for (const Parameter& parameter : store_->parameters()) {
    for (int64_t i = 0; i < parameter.size; ++i) {
      if (std::isfinite(parameter.effective[i])) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "training diverged: weight '", parameter.name, "' is not finite after step ", next_step_,
          ": lower spec.task.learning_rate.base or set "
          "spec.task.clip_gradient_norm"));
    }
  }
  return absl::OkStatus();
}

MethodState TrainingLoop::Save() const {
  MethodState state;
  for (const Parameter& parameter : store_->parameters()) {
    state.emplace(absl::StrCat("weights/", parameter.name),
                  VectorTensor(parameter.value, parameter.size));
  }
  OptimizerState optimizer = optimizer_->Save();
  for (auto& [name, values] : optimizer.slots) {
    state.emplace(absl::StrCat("optimizer/", name),
                  VectorTensor(values.data(), static_cast<int64_t>(values.size())));
    values = {};  // All of them twice need not fit into memory.
  }
  for (const auto& [name, missed] : optimizer.missed_updates) {
    state.emplace(absl::StrCat("missed_updates/", name),
                  Tensor::FromVector(Shape({static_cast<int64_t>(missed.size())}), missed));
  }
  if (!optimizer.missed_updates.empty()) {
    state.emplace("learning_rates",
                  VectorTensor(optimizer.learning_rates.data(),
                               static_cast<int64_t>(optimizer.learning_rates.size())));
  }
  for (auto& [name, tensor] : method_->Save()) {
    state.emplace(absl::StrCat("method/", name), tensor.Clone());
  }
  for (const auto& [name, values] : remembered_) {
    state.emplace(absl::StrCat("remembered/", name), values.Clone());
  }
  if (rewind_.has_value()) {
    state.emplace("rewound",
                  Tensor::FromVector<int64_t>(Shape({2}), {rewound_at_, rewound_until_}));
  }
  state.emplace("steps", Tensor::FromVector<int64_t>(
                             Shape({3}), {next_step_, optimizer.steps, optimizer.auxiliary_steps}));
  return state;
}

absl::Status TrainingLoop::Load(const MethodState& state) {
  ASSIGN_OR_RETURN(const Tensor* steps, FindState(state, "steps", DType::kInt64, 3));
  const int64_t step = steps->data<int64_t>()[0];
  if (step < 0 || step > total_steps()) {
    return absl::InvalidArgumentError(
        absl::StrCat("training state: step ", step, " is outside this run's ", total_steps()));
  }
  OptimizerState optimizer;
  optimizer.steps = steps->data<int64_t>()[1];
  optimizer.auxiliary_steps = steps->data<int64_t>()[2];
  MethodState method;
  for (const auto& [key, tensor] : state) {
    constexpr absl::string_view kOptimizer = "optimizer/";
    constexpr absl::string_view kMissed = "missed_updates/";
    constexpr absl::string_view kMethod = "method/";
    const absl::string_view name = key;
    if (name.substr(0, kOptimizer.size()) == kOptimizer && tensor.dtype() == DType::kFloat32) {
      const absl::Span<const float> values = tensor.span<float>();
      optimizer.slots[std::string(name.substr(kOptimizer.size()))].assign(values.begin(),
                                                                          values.end());
    } else if (name.substr(0, kMissed.size()) == kMissed && tensor.dtype() == DType::kInt32) {
      const absl::Span<const int32_t> missed = tensor.span<int32_t>();
      optimizer.missed_updates[std::string(name.substr(kMissed.size()))].assign(missed.begin(),
                                                                                missed.end());
    } else if (name == "learning_rates" && tensor.dtype() == DType::kFloat32) {
      const absl::Span<const float> rates = tensor.span<float>();
      optimizer.learning_rates.assign(rates.begin(), rates.end());
    } else if (name.substr(0, kMethod.size()) == kMethod) {
      method.emplace(std::string(name.substr(kMethod.size())), tensor.Clone());
    }
  }
  for (const Parameter& parameter : store_->parameters()) {
    ASSIGN_OR_RETURN(const Tensor* values,
                     FindState(state, absl::StrCat("weights/", parameter.name), DType::kFloat32,
                               parameter.size));
    std::copy(values->data<float>(), values->data<float>() + parameter.size, parameter.value);
  }
  store_->MarkChanged();
  RETURN_IF_ERROR(LoadRewind(step, state));
  RETURN_IF_ERROR(optimizer_->Load(optimizer));
  RETURN_IF_ERROR(method_->Load(method));
  next_step_ = step;
  loader_->Seek(step / batches_per_epoch(), step % batches_per_epoch());
  RefreshScaledWeights();
  return absl::OkStatus();
}

absl::Status TrainingLoop::LoadRewind(int64_t step, const MethodState& state) {
  if (!rewind_.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Tensor* rewound, FindState(state, "rewound", DType::kInt64, 2));
  rewound_at_ = rewound->data<int64_t>()[0];
  rewound_until_ = rewound->data<int64_t>()[1];
  const bool is_over = rewound_until_ == total_steps();
  remembered_.clear();
  if (!rewind_->weights || is_over || step <= RewindStep()) return absl::OkStatus();
  for (const Parameter& parameter : store_->parameters()) {
    ASSIGN_OR_RETURN(const Tensor* values,
                     FindState(state, absl::StrCat("remembered/", parameter.name), DType::kFloat32,
                               parameter.size));
    remembered_.emplace(parameter.name, values->Clone());
  }
  return absl::OkStatus();
}

}  // namespace topiary
