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

// How the examples of a batch run through the model.
struct BatchParts {
  int64_t examples = 1;  // Of each part.
  int64_t parts = 1;
  // Parts that run at the same time: each on one of the backend's threads, which then do not wait
  // for each other in every step; or one, on all of them, where the parts would keep too few busy.
  int lanes = 1;

  // Of the lane that takes the most.
  int64_t parts_of_a_lane() const { return (parts + lanes - 1) / lanes; }
  // What a lane computes on: a backend of its own, or null for `backend` itself.
  std::unique_ptr<Backend> OwnBackendOfALane(const Backend& backend) const {
    return lanes > 1 ? backend.SingleThreaded() : nullptr;
  }
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

  // How a batch is taken on so many threads. Errors as Build().
  static absl::StatusOr<BatchParts> PartsOf(const Graph& graph, const InferenceOptions& options,
                                            int threads);

  // Of the whole batch; the memory belongs to the program and never moves.
  absl::Span<const StagedTensor> inputs() const { return inputs_; }
  absl::Span<const StagedTensor> outputs() const { return outputs_; }

  // Computes the outputs from the inputs.
  void Run();
  // The same, adding to seconds[i] what the step statistics().forward_steps[i] took, all parts of
  // the batch together.
  void RunTimed(absl::Span<double> seconds);

  int64_t batch() const { return parts_.examples * parts_.parts; }
  const BatchParts& parts() const { return parts_; }
  const ProgramStatistics& statistics() const { return lanes_.front().program->statistics(); }

 private:
  struct Lane {
    std::unique_ptr<Backend> backend;  // Null: the program's own.
    std::unique_ptr<Program> program;
  };

  InferenceProgram(Backend* backend, const BatchParts& parts) : backend_(backend), parts_(parts) {}
  absl::Status BuildLanes(const Graph& graph, ParameterStore* store, ProgramOptions options);
  absl::Status Allocate();
  // Calls run(lane) for each part, on each lane for its share of them.
  void RunParts(const std::function<void(int)>& run);
  void RunLane(int lane, const std::function<void(int)>& run);

  Backend* const backend_;
  const BatchParts parts_;
  std::vector<Lane> lanes_;
  std::vector<Buffer> memory_;
  std::vector<StagedTensor> inputs_;
  std::vector<StagedTensor> outputs_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_INFERENCE_PROGRAM_H_
