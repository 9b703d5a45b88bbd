// Clipping by the norm of the gradients.
#ifndef TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_
#define TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_

namespace topiary {

// The factor that brings a gradient of norm `norm` down to `max_norm`:
// min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. NaN where norm is not
// finite.
float ClipFactor(double norm, double max_norm);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_GRADIENT_CLIPPING_H_
