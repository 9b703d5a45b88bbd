// Runs a model that a job has made: the block-compressed file, of which the pruned blocks cost
// nothing, or the ONNX file, which does not say what was pruned and runs dense.
//
//   ASSIGN_OR_RETURN(auto model, Model::Load("model.safetensors", {}));
//   std::copy_n(example, 784, static_cast<float*>(model->inputs()[0].data));
//   model->Run();
//   const float* logits = static_cast<const float*>(model->outputs()[0].data);
//
// A C interface to the same: topiary_runtime.h.
#ifndef TOPIARY_WORKER_RUNTIME_MODEL_H_
#define TOPIARY_WORKER_RUNTIME_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace topiary {

struct ModelOptions {
  // Examples in each run: the first axis of every input and output.
  int64_t batch = 1;
  // Threads of each run. 0: as many as the process may run on.
  int threads = 0;
  // How weights with pruned blocks are multiplied.
  enum class Kernels {
    kMeasured,     // As is faster for each of them here: measured while the model is loaded.
    kBlockSparse,  // Without their pruned blocks, wherever kernels can.
    kDense,        // With them, as any runtime does that knows nothing of them.
  };
  Kernels kernels = Kernels::kMeasured;
  // Where measurements are kept, so that the next load takes no time for them and comes to the same
  // choice, and so to the same bits. Empty: each load measures anew.
  std::string layer_costs_folder = {};
  // Examples of the batch that run through the model together; must divide `batch`. 0: as many as
  // have their activations in the processor's caches.
  int64_t examples_at_once = 0;
};

// An input or output: row-major elements at `data`, which belongs to the model and never moves.
struct ModelTensor {
  enum class Type { kFloat32, kInt64 };
  std::string name;
  Type type = Type::kFloat32;
  std::vector<int64_t> shape;
  void* data = nullptr;
  size_t bytes = 0;
};

// Not thread-safe: one thread at a time. Several models may run at once, each with its threads.
class Model {
 public:
  // A file whose name ends in ".safetensors" is taken for a block-compressed one, any other for
  // ONNX, with its external data beside it. Files are not trusted. NOT_FOUND; INVALID_ARGUMENT,
  // UNIMPLEMENTED and OUT_OF_RANGE for what is no model, or none that can run, with the place in
  // it; DATA_LOSS for a damaged file; RESOURCE_EXHAUSTED where it does not fit into memory.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& path,
                                                     const ModelOptions& options);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // In the file's order. The inputs are 0 at first, and keep what was written to them.
  absl::Span<const ModelTensor> inputs() const;
  absl::Span<const ModelTensor> outputs() const;

  // Computes the outputs from the inputs. Ids in an int64 input that are beyond the table they are
  // looked up in give rows of 0.
  void Run();

  // Names of the weights whose pruned blocks are left out.
  const std::vector<std::string>& sparse_weights() const;

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_RUNTIME_MODEL_H_
