#ifndef TOPIARY_WORKER_PIPELINE_GRADIENT_NORM_H_
#define TOPIARY_WORKER_PIPELINE_GRADIENT_NORM_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/engine/parameter_store.h"
#include "worker/kernels/backend.h"
#include "worker/prune/method.h"

namespace topiary {

// Euclidean norm of the gradient with respect to what is really trained: the weights of a pruned
// layer count as scale[block] * d loss / d effective, so that pruned blocks, whose gradient goes
// nowhere, do not hold the others back; the trainable state of the method counts too.
//
// Thread-compatible: one thread at a time, as the backend. Memory must be host-accessible.
class TrainedGradientNorm {
 public:
  // Over `store` and `state`, which outlive it.
  static absl::StatusOr<std::unique_ptr<TrainedGradientNorm>> Create(
      ParameterStore* store, absl::Span<const TrainableState> state);

  // After ForwardBackward() and Method::EndStep(), before the optimizer.
  double Compute();

 private:
  // The sum of squares of one gradient: per block where there are block scales, else in all.
  struct Term {
    std::unique_ptr<Kernel> kernel;
    Buffer result;
    const float* scales = nullptr;
    int64_t results = 1;
  };

  TrainedGradientNorm() = default;
  absl::Status AddTerm(Backend* backend, const OpDescription& op, float* gradient,
                       const float* scales, int64_t results);

  std::vector<Term> terms_;
  std::vector<Buffer> scratch_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_GRADIENT_NORM_H_
