// What a built Program holds. Included only by program*.cc.
#ifndef TOPIARY_WORKER_ENGINE_PROGRAM_INTERNAL_H_
#define TOPIARY_WORKER_ENGINE_PROGRAM_INTERNAL_H_

#include <memory>
#include <vector>

#include "worker/engine/program.h"
#include "worker/engine/program_layout.h"
#include "worker/engine/step_list.h"

namespace topiary {

struct CompiledProgram {
  ParameterStore* store = nullptr;
  StepScalars scalars;  // Kernels hold its address.
  StepList steps;
  ProgramMemory memory;
  std::vector<Buffer> staging;    // Inputs, labels, losses.
  std::vector<Buffer> constants;  // Read by steps.
  std::vector<StagedTensor> inputs;
  std::vector<StagedTensor> outputs;
  StagedTensor labels;
  OutputKind output_kind = OutputKind::kValues;
  std::vector<StagedTensor> teacher_values;
  std::vector<const float*> losses;  // Their terms; empty without a loss.
  bool updates_statistics = false;
  int64_t batch = 0;
  uint64_t weights_version = 0;  // Of the store, when the weights list last ran.
  ProgramStatistics statistics;
};

// Everything but running: see Program::Build(). `weights_of` is what options.weights_of is,
// compiled.
absl::StatusOr<std::unique_ptr<CompiledProgram>> CompileProgram(const Graph& graph,
                                                                ParameterStore* store,
                                                                Backend* backend,
                                                                const ProgramOptions& options,
                                                                const CompiledProgram* weights_of);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_PROGRAM_INTERNAL_H_
