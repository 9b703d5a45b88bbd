// The weights of a model in training: values, gradients, and what forward
// passes read, at addresses that never move, shared by every program of the model.
#ifndef TOPIARY_WORKER_ENGINE_PARAMETER_STORE_H_
#define TOPIARY_WORKER_ENGINE_PARAMETER_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/embedding_rows.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/tensor/shape.h"

namespace topiary {

// One float32 initializer. Pointers are device memory in plain layout, owned by the store.
struct Parameter {
  std::string name;
  Shape shape;
  int64_t size = 0;  // Elements.

  // True: changed by gradients. False: running statistics of BatchNormalization.
  bool trainable = false;

  // The raw weights, which the optimizer changes.
  float* value = nullptr;
  // What forward passes read: `value` itself, or scale[block] * value after
  // Reparameterize().
  float* effective = nullptr;
  // d loss / d effective, written by Program::ForwardBackward(). Null if not trainable, in a store
  // that is not for training, and where there are `rows`.
  float* gradient = nullptr;
  // Of an embedding table of which only the rows that a step reads have gradients and are updated;
  // else null. Others may lag behind: Optimizer::SettleRows().
  std::shared_ptr<EmbeddingRows> rows;

  // Set by Reparameterize(), else null.
  std::shared_ptr<const BlockRuns> runs;
  // [runs->block_count], written by the method before a step; 0 is a pruned block. Starts at 1.
  float* block_scale = nullptr;
  // [runs->block_count]: <gradient, value> of each block, by BlockScaling::ComputeInnerProducts().
  float* block_inner_product = nullptr;
};

// Whether a store has gradients, which take as much memory as the values.
enum class StorePurpose { kTraining, kInference };

// Thread-compatible: one thread at a time. The backend must outlive it, and the
// store must outlive programs and optimizers built on it.
//
// Values, gradients and slots of all trainable parameters without `rows` are contiguous, in the
// order of parameters(), each parameter starting at a multiple of 64 bytes; the padding between is
// 0 and stays 0. One pass over the whole is thus one kernel call.
class ParameterStore {
 public:
  // Holds the parameters and statistics that `inferred` lists, with the values
  // that `graph` has: trainable ones first, each group in the file's order.
  static absl::StatusOr<std::unique_ptr<ParameterStore>> Create(
      const Graph& graph, const InferredGraph& inferred, Backend* backend,
      StorePurpose purpose = StorePurpose::kTraining);
  // As above, inferring at batch size 1.
  static absl::StatusOr<std::unique_ptr<ParameterStore>> Create(
      const Graph& graph, Backend* backend, StorePurpose purpose = StorePurpose::kTraining);
  // For training, with gradients for the rows of `tables` (FindEmbeddingTables()) that a step
  // reads.
  static absl::StatusOr<std::unique_ptr<ParameterStore>> CreateWithTables(
      const Graph& graph, const std::set<std::string>& tables, Backend* backend);

  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Gives parameter `name` effective weights of their own, block scales of 1
  // and inner products. Before any program or optimizer is built (they keep addresses):
  // FAILED_PRECONDITION after that, or if done before. NOT_FOUND for an unknown name;
  // INVALID_ARGUMENT where it is not trainable or `runs` do not cover it exactly once.
  absl::Status Reparameterize(absl::string_view name, std::shared_ptr<const BlockRuns> runs);

  // Copies the values of `graph`'s initializers of the same names: `value`, and
  // `effective` with all block scales reset to 1. NOT_FOUND, INVALID_ARGUMENT for a
  // missing one or another shape, FAILED_PRECONDITION for one without elements; nothing is changed
  // then.
  absl::Status LoadFrom(const Graph& graph);

  // Drops the elements of those weights of `graph` that this store has (Tensor::DropElements()) and
  // that nothing but a Gemm, MatMul, Conv, Gather or Transpose that runs on each batch reads:
  // programs can still be built from `graph`, and WriteTo() brings the weights back. Errors as
  // InferShapes().
  absl::Status DropWeightsOf(Graph* graph) const;

  // Writes effective weights and running statistics into the initializers of `graph`.
  absl::Status WriteTo(Graph* graph) const;

  // In the order described above. The pointers live as long as the store.
  absl::Span<const Parameter> parameters() const { return parameters_; }
  // Null if there is none of this name.
  const Parameter* Find(absl::string_view name) const;

  // Values, or gradients, of all trainable parameters as one vector, padding included. Gradients
  // are empty in a store that is not for training.
  absl::Span<float> trainable_values() { return {values_, trainable_extent_}; }
  absl::Span<float> trainable_gradients() {
    return {gradients_, gradients_ == nullptr ? 0 : trainable_extent_};
  }
  // Where `parameter` (trainable, of this store, without rows) starts in them, in elements.
  int64_t OffsetOf(const Parameter& parameter) const { return parameter.value - values_; }

  // Changes whenever values may have changed, so that a program knows whether the weights
  // it has reordered are still right. Whoever writes through a pointer calls MarkChanged().
  uint64_t version() const { return version_; }
  void MarkChanged() { ++version_; }

  // Called by whoever keeps addresses (Program, Optimizer).
  void Freeze() { frozen_ = true; }

  Backend* backend() const { return backend_; }

 private:
  explicit ParameterStore(Backend* backend) : backend_(backend) {}
  static absl::StatusOr<std::unique_ptr<ParameterStore>> Make(const Graph& graph,
                                                              const InferredGraph& inferred,
                                                              const std::set<std::string>& tables,
                                                              Backend* backend,
                                                              StorePurpose purpose);
  absl::Status Allocate(StorePurpose purpose);

  Backend* backend_;
  std::vector<Parameter> parameters_;
  std::map<std::string, size_t, std::less<>> index_;
  std::vector<Buffer> buffers_;
  float* values_ = nullptr;
  float* gradients_ = nullptr;
  size_t trainable_extent_ = 0;
  uint64_t version_ = 1;
  bool frozen_ = false;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_PARAMETER_STORE_H_
