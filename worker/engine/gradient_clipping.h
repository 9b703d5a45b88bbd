// Clipping by the global norm of the gradients.
#ifndef TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_
#define TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/kernels/backend.h"

namespace topiary {

// The factor that brings a gradient of norm `norm` down to `max_norm`:
// min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. NaN where norm is not
// finite.
float ClipFactor(double norm, double max_norm);

// Euclidean norm over the gradients of all trainable parameters of a store. The gradient of a
// reparameterized parameter counts as d loss / d effective.
// Thread-compatible: one thread at a time, as the backend.
class GradientNorm {
 public:
  static absl::StatusOr<std::unique_ptr<GradientNorm>> Create(ParameterStore* store);
  double Compute();

 private:
  GradientNorm() = default;

  std::unique_ptr<Kernel> kernel_;
  Buffer sum_;
  Buffer scratch_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_
