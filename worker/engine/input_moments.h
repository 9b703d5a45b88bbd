// What the weights of a layer are multiplied with, as far as a quadratic model of the layer's error
// sees it: the mean of x x^T over samples x, rows of K inputs of one matrix of the layer.
//
// With W the matrix [K, outputs] and V another, the mean over samples of |x^T W - x^T V|^2 is the
// trace of (W - V)^T M (W - V), M the moments.
#ifndef TOPIARY_WORKER_ENGINE_INPUT_MOMENTS_H_
#define TOPIARY_WORKER_ENGINE_INPUT_MOMENTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// kDiagonal: the mean of each x_k^2 alone, K numbers. kFull: K x K.
enum class MomentKind { kDiagonal, kFull };

// How many samples of `inputs` numbers are multiplied together, for kFull: so many wait in float32,
// of each matrix.
int64_t SamplesAtOnce(int64_t inputs);

// Sums moments batch by batch. A sample is a row of activations; of a convolution, what its kernel
// sees at one place, in the order of the layer's rows. Not thread-safe.
//
// A weight that several nodes share has the samples of all that see it as the layer does; a use of
// its transposition has other inputs and does not count.
class InputMoments {
 public:
  // Of `layer` of `graph`, with the shapes of `inferred`. `backend` (host-accessible) multiplies,
  // and outlives it. INVALID_ARGUMENT, naming the node, where what the weight is multiplied with is
  // not computed from the data; errors as Backend::Plan().
  static absl::StatusOr<std::unique_ptr<InputMoments>> Create(const Graph& graph,
                                                              const InferredGraph& inferred,
                                                              const PrunableLayer& layer,
                                                              MomentKind kind, Backend* backend);
  virtual ~InputMoments() = default;

  // The activations that the layer reads, each once.
  virtual const std::vector<std::string>& inputs() const = 0;

  // The activations of one batch: in the order of inputs(), in plain layout, of the shapes
  // inferred.
  virtual void Add(absl::Span<const float* const> activations) = 0;

  // Of matrix `group`, over all samples so far: K numbers, or K x K, symmetric. At least one batch
  // has been added.
  virtual std::vector<double> Mean(int64_t group) = 0;

  // Whether another layer's samples would be the same, so that its moments need not be computed:
  // equal texts mean that.
  virtual const std::string& key() const = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_INPUT_MOMENTS_H_
