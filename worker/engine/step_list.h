// The steps of a program before and after memory was laid out: plain structs.
#ifndef TOPIARY_WORKER_ENGINE_STEP_LIST_H_
#define TOPIARY_WORKER_ENGINE_STEP_LIST_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "worker/kernels/backend.h"

namespace topiary {

// One piece of memory that steps read and write.
struct BufferInfo {
  size_t bytes = 0;
  // Memory that others own (parameters, inputs, labels); null: a place in the arena.
  void* external = nullptr;
  // In the arena, but never shared: it must outlive the step that last uses it.
  bool pinned = false;
  // Effective weights, constants, and what was reordered from them: changes only between runs.
  bool weights = false;
};

// A tensor that a buffer holds. Several refs may view one buffer under different shapes.
struct TensorRef {
  int buffer = -1;
  TensorDescription description;

  const Shape& shape() const { return description.shape; }
  const Layout& layout() const { return description.layout; }
};

struct Step {
  OpDescription op;  // Layouts settled.
  std::unique_ptr<Kernel> kernel;
  std::vector<int> buffers;  // In the order of the operands.
  std::string label;         // "ConvolutionForward+relu conv1".
};

struct StepList {
  std::vector<BufferInfo> buffers;
  std::vector<Step> weights;   // Run when weights have changed. Empty where gradients change them.
  std::vector<Step> forward;   // Run every time.
  std::vector<Step> backward;  // Run after forward, for gradients.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_STEP_LIST_H_
