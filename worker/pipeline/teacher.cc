#include "worker/pipeline/teacher.h"

#include <cstring>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// The index of output `name` of `graph`, which it becomes where it is none yet.
int OutputOf(const std::string& name, Graph* graph) {
  for (size_t i = 0; i < graph->outputs.size(); ++i) {
    if (graph->outputs[i].name == name) return static_cast<int>(i);
  }
  ValueInfo output;
  output.name = name;
  graph->outputs.push_back(std::move(output));
  return static_cast<int>(graph->outputs.size()) - 1;
}

void Copy(const StagedTensor& from, const StagedTensor& to) {
  CHECK_EQ(from.bytes(), to.bytes()) << "'" << to.name << "' of another shape";
  std::memcpy(to.data, from.data, from.bytes());
}

}  // namespace

void LearnFromTeacher(const DistillationSpec& distillation, LossSpec loss,
                      ProgramOptions* options) {
  options->loss_weight = static_cast<float>(1 - distillation.weight);
  TeacherLoss outputs;
  outputs.weight = static_cast<float>(distillation.weight);
  if (loss != LossSpec::kMeanSquaredError) {
    outputs.temperature = static_cast<float>(distillation.temperature);
  }
  options->teacher_losses = {outputs};
  for (const DistillationSpec::Feature& feature : distillation.features) {
    options->teacher_losses.push_back({feature.value, static_cast<float>(feature.weight)});
  }
}

absl::StatusOr<std::unique_ptr<Teacher>> Teacher::Create(const Graph& graph, Backend* backend,
                                                         const Program& student) {
  auto teacher = std::unique_ptr<Teacher>(new Teacher());
  Graph with_outputs = graph.Clone();
  for (const StagedTensor& value : student.teacher_values()) {
    teacher->outputs_.push_back(OutputOf(value.name, &with_outputs));
  }
  ASSIGN_OR_RETURN(teacher->store_,
                   ParameterStore::Create(with_outputs, backend, StorePurpose::kInference));
  ProgramOptions options;
  options.batch = student.batch();
  options.mode = ProgramMode::kInference;
  ASSIGN_OR_RETURN(teacher->program_,
                   Program::Build(with_outputs, teacher->store_.get(), backend, options));
  return teacher;
}

void Teacher::Teach(const Program& student) {
  for (size_t i = 0; i < student.inputs().size(); ++i) {
    Copy(student.inputs()[i], program_->inputs()[i]);
  }
  program_->Forward();
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Copy(program_->output(outputs_[i]), student.teacher_values()[i]);
  }
}

}  // namespace topiary
