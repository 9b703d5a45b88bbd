// The two passes over reparameterized weights: effective = scale[block] * value
// before a step, and <gradient, value> per block after it.
#ifndef TOPIARY_WORKER_ENGINE_BLOCK_SCALING_H_
#define TOPIARY_WORKER_ENGINE_BLOCK_SCALING_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/kernels/backend.h"

namespace topiary {

// Over all parameters of a store that were reparameterized before this was made.
// Thread-compatible: one thread at a time, as the backend.
class BlockScaling {
 public:
  static absl::StatusOr<std::unique_ptr<BlockScaling>> Create(ParameterStore* store);

  // effective = block_scale[block] * value. Call after block scales or values changed, before
  // the forward pass.
  void ApplyScales();

  // block_inner_product[block] = sum over the block of gradient * value: the gradient of the
  // loss with respect to the block's scale. Call after ForwardBackward(), before the optimizer.
  void ComputeInnerProducts();

 private:
  explicit BlockScaling(ParameterStore* store) : store_(store) {}

  ParameterStore* store_;
  std::vector<std::unique_ptr<Kernel>> scale_;
  std::vector<std::unique_ptr<Kernel>> inner_product_;
  std::vector<Buffer> scratch_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_BLOCK_SCALING_H_
