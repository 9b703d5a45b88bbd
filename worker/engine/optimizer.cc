#include "worker/engine/optimizer.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/engine/embedding_tables.h"

namespace topiary {
namespace {

absl::Status CheckRange(bool legal, absl::string_view field, float value, absl::string_view range) {
  if (legal && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), " is ", value, "; it must be ", std::string(range)));
}

TensorDescription Vector(int64_t size) { return {Shape({size}), DType::kFloat32, Layout::Plain()}; }

// After so many all rows are brought up to date, so that what must be remembered stays small.
constexpr int64_t kMostMissedUpdates = 1024;

// Whether the decay of `options` applies to a parameter of this shape.
bool IsDecayed(const OptimizerOptions& options, const Shape& shape) {
  return options.weight_decay != 0 && (options.decay_vectors || shape.rank() >= 2);
}

}  // namespace

absl::Status ValidateOptimizerOptions(const OptimizerOptions& o) {
  const auto fraction = [](float x) { return x >= 0 && x < 1; };
  RETURN_IF_ERROR(CheckRange(fraction(o.momentum), "momentum", o.momentum, "in [0, 1)"));
  RETURN_IF_ERROR(CheckRange(fraction(o.beta1), "beta1", o.beta1, "in [0, 1)"));
  RETURN_IF_ERROR(CheckRange(fraction(o.beta2), "beta2", o.beta2, "in [0, 1)"));
  RETURN_IF_ERROR(CheckRange(o.epsilon > 0, "epsilon", o.epsilon, "positive"));
  RETURN_IF_ERROR(CheckRange(o.weight_decay >= 0, "weight_decay", o.weight_decay, ">= 0"));
  if (o.nesterov && (o.kind != OptimizerKind::kSgd || o.momentum == 0)) {
    return absl::InvalidArgumentError("nesterov needs SGD with a momentum above 0");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(
    const OptimizerOptions& options, ParameterStore* store,
    absl::Span<const AuxiliaryParameter> auxiliary) {
  RETURN_IF_ERROR(ValidateOptimizerOptions(options));
  std::unique_ptr<Optimizer> optimizer(new Optimizer(options, store));
  if (options.kind == OptimizerKind::kSgd) {
    optimizer->missed_ = MissedUpdates(options.momentum, options.nesterov);
  }
  RETURN_IF_ERROR(optimizer->PlanStore());
  std::set<std::string> names;
  for (const AuxiliaryParameter& parameter : auxiliary) {
    if (store->Find(parameter.name) != nullptr || !names.insert(parameter.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two parameters are called '", parameter.name, "'"));
    }
    RETURN_IF_ERROR(optimizer->PlanAuxiliary(parameter));
  }
  store->Freeze();
  return optimizer;
}

OptimizerParameters Optimizer::ParametersFor(bool decay) const {
  OptimizerParameters p;
  p.kind = options_.kind;
  p.momentum = options_.kind == OptimizerKind::kSgd ? options_.momentum : 0;
  p.nesterov = options_.nesterov;
  p.beta1 = options_.beta1;
  p.beta2 = options_.beta2;
  p.epsilon = options_.epsilon;
  p.weight_decay = decay ? options_.weight_decay : 0;
  p.scalars = &scalars_;
  return p;
}

absl::StatusOr<std::vector<float*>> Optimizer::AllocateSlots(int64_t size) {
  std::vector<float*> slots;
  for (int i = 0; i < OptimizerSlotCount(ParametersFor(false)); ++i) {
    ASSIGN_OR_RETURN(Buffer buffer, store_->backend()->Allocate(size * sizeof(float)));
    slots.push_back(static_cast<float*>(buffer.data()));
    buffers_.push_back(std::move(buffer));
  }
  return slots;
}

void Optimizer::AddSlots(const std::string& name, int64_t size, absl::Span<float* const> slots,
                         int64_t offset, bool auxiliary) {
  static constexpr const char* kAdamNames[] = {"first_moment", "second_moment"};
  for (size_t i = 0; i < slots.size(); ++i) {
    const char* slot = slots.size() == 1 ? "momentum" : kAdamNames[i];
    slots_.push_back({absl::StrCat(name, "/", slot), slots[i] + offset, size, auxiliary});
  }
}

absl::Status Optimizer::PlanUpdate(OptimizerParameters parameters, int64_t size, float* value,
                                   float* gradient, absl::Span<float* const> slots,
                                   const Parameter* blocks,
                                   std::vector<std::unique_ptr<Kernel>>* kernels) {
  OpDescription op{OpKind::kOptimizerUpdate, {}, {Vector(size), Vector(size)}};
  std::vector<void*> operands = {value, gradient};
  for (float* slot : slots) {
    op.operands.push_back(Vector(size));
    operands.push_back(slot);
  }
  if (blocks != nullptr) {
    parameters.runs = blocks->runs;
    parameters.inner_products = options_.inner_products;
    op.operands.push_back(Vector(blocks->runs->block_count));
    operands.push_back(blocks->block_scale);
    if (parameters.inner_products) {
      op.operands.push_back(Vector(blocks->runs->block_count));
      operands.push_back(blocks->block_inner_product);
    }
  }
  op.parameters = std::move(parameters);
  ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, store_->backend()->Plan(op));
  ASSIGN_OR_RETURN(Buffer scratch, store_->backend()->Allocate(kernel->scratch_bytes()));
  kernel->Bind(operands, scratch.data());
  buffers_.push_back(std::move(scratch));
  kernels->push_back(std::move(kernel));
  return absl::OkStatus();
}

// Reparameterized parameters get a kernel each; of the others, neighbours that are decayed
// alike share one, over the padding between them, which stays 0.
absl::Status Optimizer::PlanStore() {
  const int64_t extent = static_cast<int64_t>(store_->trainable_values().size());
  ASSIGN_OR_RETURN(const std::vector<float*> slots, AllocateSlots(extent));
  const auto plan = [&](bool decay, int64_t begin, int64_t end, const Parameter* blocks) {
    std::vector<float*> at(slots);
    for (float*& slot : at) slot += begin;
    return PlanUpdate(ParametersFor(decay), end - begin, store_->trainable_values().data() + begin,
                      store_->trainable_gradients().data() + begin, at, blocks, &store_kernels_);
  };
  int64_t begin = -1, end = -1;
  bool decayed = false;
  const auto flush = [&]() -> absl::Status {
    if (begin < 0) return absl::OkStatus();
    const int64_t start = std::exchange(begin, -1);
    return plan(decayed, start, end, nullptr);
  };
  for (const Parameter& parameter : store_->parameters()) {
    if (!parameter.trainable) continue;
    if (parameter.rows != nullptr) {
      RETURN_IF_ERROR(PlanRows(parameter));
      continue;
    }
    const int64_t offset = store_->OffsetOf(parameter);
    const bool decay = IsDecayed(options_, parameter.shape);
    if (begin >= 0 && (parameter.runs != nullptr || decay != decayed)) RETURN_IF_ERROR(flush());
    if (parameter.runs != nullptr) {
      RETURN_IF_ERROR(plan(decay, offset, offset + parameter.size, &parameter));
    } else {
      if (begin < 0) begin = offset;
      end = offset + parameter.size;
      decayed = decay;
    }
    AddSlots(parameter.name, parameter.size, slots, offset);
  }
  return flush();
}

absl::Status Optimizer::PlanRows(const Parameter& parameter) {
  if (!CanUpdateRowsLater(options_.kind, IsDecayed(options_, parameter.shape) ? 1.0F : 0.0F,
                          /*clips_gradients=*/false)) {
    return absl::UnimplementedError(absl::StrCat(
        "'", parameter.name, "': rows catch up with updates of SGD without decay alone"));
  }
  EmbeddingParameters p;
  p.table = parameter.rows.get();
  p.update = ParametersFor(/*decay=*/false);
  ASSIGN_OR_RETURN(const std::vector<float*> slots, AllocateSlots(parameter.size));
  if (!slots.empty()) {
    p.table->momentum = slots[0];
    p.table->missed = &missed_;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel,
                   store_->backend()->Plan({OpKind::kEmbeddingUpdate, p, {}}));
  kernel->Bind({}, nullptr);
  store_kernels_.push_back(std::move(kernel));
  AddSlots(parameter.name, parameter.size, slots, 0);
  tables_[parameter.name] = parameter.rows;
  return absl::OkStatus();
}

absl::Status Optimizer::PlanAuxiliary(const AuxiliaryParameter& parameter) {
  ASSIGN_OR_RETURN(const std::vector<float*> slots, AllocateSlots(parameter.size));
  OptimizerParameters p = ParametersFor(true);
  p.weight_decay = parameter.weight_decay.value_or(options_.weight_decay);
  p.learning_rate_multiplier = parameter.learning_rate_multiplier;
  p.scalars = &auxiliary_scalars_;
  RETURN_IF_ERROR(PlanUpdate(p, parameter.size, parameter.value, parameter.gradient, slots,
                             /*blocks=*/nullptr, &auxiliary_kernels_));
  AddSlots(parameter.name, parameter.size, slots, 0, /*auxiliary=*/true);
  return absl::OkStatus();
}

void Optimizer::SetBiasCorrections(int64_t steps, UpdateScalars* scalars) const {
  const auto t = static_cast<double>(steps);
  scalars->bias_correction_1 = static_cast<float>(1 - std::pow(double{options_.beta1}, t));
  scalars->bias_correction_2 = static_cast<float>(1 - std::pow(double{options_.beta2}, t));
}

void Optimizer::Step(float learning_rate, float gradient_scale) {
  StepStore(learning_rate, gradient_scale);
  StepAuxiliary();
}

void Optimizer::StepStore(float learning_rate, float gradient_scale) {
  ++steps_;
  scalars_.learning_rate = learning_rate;
  scalars_.gradient_scale = gradient_scale;
  SetBiasCorrections(steps_, &scalars_);
  for (const std::unique_ptr<Kernel>& kernel : store_kernels_) kernel->Run();
  if (!tables_.empty() && options_.momentum != 0) {
    missed_.Add(learning_rate);
    if (missed_.count() >= kMostMissedUpdates) SettleRows();
  }
  store_->MarkChanged();
}

void Optimizer::SettleRows() {
  if (missed_.count() == 0) return;
  for (const auto& [name, table] : tables_) {
    for (int64_t row = 0; row < table->rows; ++row) table->CatchUp(row);
    std::fill(table->applied.begin(), table->applied.end(), 0);
  }
  missed_.Clear();
  store_->MarkChanged();
}

void Optimizer::StepAuxiliary() {
  ++auxiliary_steps_;
  auxiliary_scalars_ = scalars_;
  SetBiasCorrections(auxiliary_steps_, &auxiliary_scalars_);
  for (const std::unique_ptr<Kernel>& kernel : auxiliary_kernels_) kernel->Run();
}

void Optimizer::Reset() {
  SettleRows();
  steps_ = 0;
  auxiliary_steps_ = 0;
  for (const Slot& slot : slots_) std::fill_n(slot.data, slot.size, 0.0f);
}

void Optimizer::ResetAuxiliary() {
  auxiliary_steps_ = 0;
  for (const Slot& slot : slots_) {
    if (slot.auxiliary) std::fill_n(slot.data, slot.size, 0.0f);
  }
}

OptimizerState Optimizer::Save() const {
  OptimizerState state;
  state.steps = steps_;
  state.auxiliary_steps = auxiliary_steps_;
  for (const Slot& slot : slots_) {
    state.slots[slot.name].assign(slot.data, slot.data + slot.size);
  }
  state.learning_rates = missed_.learning_rates();
  for (const auto& [name, table] : tables_) {
    std::vector<int32_t>& missed = state.missed_updates[name];
    missed.reserve(table->applied.size());
    for (const int32_t applied : table->applied) {
      missed.push_back(static_cast<int32_t>(missed_.count()) - applied);
    }
  }
  return state;
}

absl::Status Optimizer::CheckRows(const OptimizerState& state) const {
  const auto most = static_cast<int64_t>(state.learning_rates.size());
  if (state.missed_updates.size() != tables_.size() || most > kMostMissedUpdates) {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer state has rows of ", state.missed_updates.size(), " tables, after ",
                     most, " updates; this optimizer has ", tables_.size(), " tables"));
  }
  for (const auto& [name, table] : tables_) {
    const auto found = state.missed_updates.find(name);
    const bool fits = found != state.missed_updates.end() &&
                      static_cast<int64_t>(found->second.size()) == table->rows &&
                      std::all_of(found->second.begin(), found->second.end(),
                                  [most](int32_t missed) { return missed >= 0 && missed <= most; });
    if (!fits) {
      return absl::InvalidArgumentError(absl::StrCat("optimizer state has no missed updates of '",
                                                     name, "' for ", table->rows, " rows"));
    }
  }
  return absl::OkStatus();
}

absl::Status Optimizer::Load(const OptimizerState& state) {
  RETURN_IF_ERROR(CheckRows(state));
  if (state.steps < 0 || state.auxiliary_steps < 0 || state.slots.size() != slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer state has ", state.slots.size(), " slots after ", state.steps,
                     " steps; this optimizer has ", slots_.size(), " slots"));
  }
  for (const Slot& slot : slots_) {
    const auto found = state.slots.find(slot.name);
    if (found == state.slots.end() || static_cast<int64_t>(found->second.size()) != slot.size) {
      return absl::InvalidArgumentError(absl::StrCat("optimizer state has no slot '", slot.name,
                                                     "' of ", slot.size, " elements"));
    }
  }
  for (const Slot& slot : slots_) {
    const std::vector<float>& values = state.slots.at(slot.name);
    std::copy(values.begin(), values.end(), slot.data);
  }
  steps_ = state.steps;
  auxiliary_steps_ = state.auxiliary_steps;
  missed_.Clear();
  for (const float rate : state.learning_rates) missed_.Add(rate);
  for (const auto& [name, table] : tables_) {
    const std::vector<int32_t>& missed = state.missed_updates.at(name);
    for (size_t row = 0; row < missed.size(); ++row) {
      table->applied[row] = static_cast<int32_t>(missed_.count()) - missed[row];
    }
  }
  return absl::OkStatus();
}

}  // namespace topiary
