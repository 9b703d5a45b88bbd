#include "worker/engine/program.h"

#include <chrono>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/engine/program_internal.h"

namespace topiary {
namespace {

void RunSteps(const std::vector<Step>& steps) {
  for (const Step& step : steps) step.kernel->Run();
}

}  // namespace

Program::Program(std::unique_ptr<CompiledProgram> compiled) : compiled_(std::move(compiled)) {}

Program::~Program() = default;

absl::StatusOr<std::unique_ptr<Program>> Program::Build(const Graph& graph, ParameterStore* store,
                                                        Backend* backend,
                                                        const ProgramOptions& options) {
  const CompiledProgram* weights_of =
      options.weights_of == nullptr ? nullptr : options.weights_of->compiled_.get();
  ASSIGN_OR_RETURN(std::unique_ptr<CompiledProgram> compiled,
                   CompileProgram(graph, store, backend, options, weights_of));
  store->Freeze();
  return std::unique_ptr<Program>(new Program(std::move(compiled)));
}

absl::Span<const StagedTensor> Program::inputs() const { return compiled_->inputs; }

absl::Span<const StagedTensor> Program::outputs() const { return compiled_->outputs; }

const StagedTensor* Program::input(absl::string_view name) const {
  for (const StagedTensor& input : compiled_->inputs) {
    if (input.name == name) return &input;
  }
  return nullptr;
}

const StagedTensor& Program::labels() const {
  CHECK(!compiled_->losses.empty()) << "the program has no loss, so no labels";
  return compiled_->labels;
}

absl::Span<const StagedTensor> Program::teacher_values() const { return compiled_->teacher_values; }

OutputKind Program::output_kind() const { return compiled_->output_kind; }

void Program::RefreshWeights() {
  if (compiled_->weights_version == compiled_->store->version()) return;
  RunSteps(compiled_->steps.weights);
  compiled_->weights_version = compiled_->store->version();
}

void Program::Forward() {
  RefreshWeights();
  RunSteps(compiled_->steps.forward);
  FinishForward();
}

void Program::ForwardTimed(absl::Span<double> seconds) {
  const std::vector<Step>& steps = compiled_->steps.forward;
  CHECK_EQ(seconds.size(), steps.size());
  RefreshWeights();
  for (size_t i = 0; i < steps.size(); ++i) {
    const auto began = std::chrono::steady_clock::now();
    steps[i].kernel->Run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    seconds[i] += took.count();
  }
  FinishForward();
}

void Program::FinishForward() {
  if (!compiled_->updates_statistics) return;
  compiled_->store->MarkChanged();
  compiled_->weights_version = compiled_->store->version();  // Statistics only: weights are right.
}

void Program::ForwardBackward() {
  CHECK(!compiled_->losses.empty() && !compiled_->steps.backward.empty())
      << "ForwardBackward() of a program that was not built for training with a loss";
  Forward();
  RunSteps(compiled_->steps.backward);
}

float Program::loss() const {
  CHECK(!compiled_->losses.empty()) << "the program has no loss";
  float sum = 0;
  for (const float* loss : compiled_->losses) sum += *loss;
  return sum;
}

void Program::set_step(uint64_t step) { compiled_->scalars.step = step; }

void Program::set_running_momentum(float momentum) {
  compiled_->scalars.running_momentum = momentum;
}

int64_t Program::batch() const { return compiled_->batch; }

const ProgramStatistics& Program::statistics() const { return compiled_->statistics; }

}  // namespace topiary
