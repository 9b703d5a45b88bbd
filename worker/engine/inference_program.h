// A model that only runs.
#ifndef TOPIARY_WORKER_ENGINE_INFERENCE_PROGRAM_H_
#define TOPIARY_WORKER_ENGINE_INFERENCE_PROGRAM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"

namespace topiary {

struct InferenceOptions {
  int64_t batch = 1;
  SparseWeights sparse_weights;  // ProgramOptions::sparse_weights.
  // Examples that run through the model together, where they know nothing of one another
  // (worker/model/batch_independence.h); must divide `batch`. 0: as many as have their activations
  // in the processor's caches, because pruned layers do so little for each that memory would bound
  // them.
  int64_t examples_at_once = 0;
};

// Not thread-safe: one thread at a time. Store and backend must outlive it.
class InferenceProgram {
 public:
  // Errors as Program::Build(); INVALID_ARGUMENT where examples_at_once does not divide the batch,
  // or the examples cannot be told apart.
  static absl::StatusOr<std::unique_ptr<InferenceProgram>> Build(const Graph& graph,
                                                                 ParameterStore* store,
                                                                 Backend* backend,
                                                                 const InferenceOptions& options);

  // How many examples run through `graph` together under these options. Errors as Build().
  static absl::StatusOr<int64_t> ExamplesAtOnce(const Graph& graph,
                                                const InferenceOptions& options);

  // Of the whole batch; the memory belongs to the program and never moves.
  absl::Span<const StagedTensor> inputs() const { return inputs_; }
  absl::Span<const StagedTensor> outputs() const { return outputs_; }

  // Computes the outputs from the inputs.
  void Run();
  // The same, adding to seconds[i] what the step statistics().forward_steps[i] took, all parts of
  // the batch together.
  void RunTimed(absl::Span<double> seconds);

  int64_t batch() const { return program_->batch() * parts_; }
  int64_t examples_at_once() const { return program_->batch(); }
  const ProgramStatistics& statistics() const { return program_->statistics(); }

 private:
  InferenceProgram(std::unique_ptr<Program> program, int64_t parts)
      : program_(std::move(program)), parts_(parts) {}
  absl::Status Allocate(Backend* backend);
  void RunInParts(const std::function<void()>& run);

  std::unique_ptr<Program> program_;
  int64_t parts_;
  std::vector<Buffer> memory_;
  std::vector<StagedTensor> inputs_;
  std::vector<StagedTensor> outputs_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_INFERENCE_PROGRAM_H_
