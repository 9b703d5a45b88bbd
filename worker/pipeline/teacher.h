#ifndef TOPIARY_WORKER_PIPELINE_TEACHER_H_
#define TOPIARY_WORKER_PIPELINE_TEACHER_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"

namespace topiary {

// What a program of a task learns from a teacher, and how much from labels.
void LearnFromTeacher(const DistillationSpec& distillation, LossSpec loss, ProgramOptions* options);

// The network that another one of the same graph learns from while it is pruned: it runs beside it
// on each batch, with weights that stay as they are.
//
// One thread at a time. The backend outlives it.
class Teacher {
 public:
  // With the weights of `graph`, of which it keeps a copy, for programs that are built from it with
  // ProgramOptions::teacher_losses as `student` is. Errors as Program::Build().
  static absl::StatusOr<std::unique_ptr<Teacher>> Create(const Graph& graph, Backend* backend,
                                                         const Program& student);

  // Gives `student` the teacher's values for the inputs that lie in it.
  void Teach(const Program& student);

 private:
  Teacher() = default;

  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Program> program_;
  std::vector<int> outputs_;  // Of the program, for each of the student's teacher_values().
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_TEACHER_H_
