// Reverse-mode differentiation of a step list: a record of how each value was
// made, walked backwards.
#ifndef TOPIARY_WORKER_ENGINE_GRADIENT_TAPE_H_
#define TOPIARY_WORKER_ENGINE_GRADIENT_TAPE_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/step_emitter.h"

namespace topiary {

// While forward steps are emitted, each operator records a function that, given that
// the gradient of its result is known, emits the steps for the gradients of its operands. Run()
// calls them in reverse order. A value that is used several times collects one term per use; terms
// are added up when the gradient is asked for.
//
// Thread-compatible. The emitter must outlive it.
class GradientTape {
 public:
  // Reads Total() or Terms() of the value and delivers gradients of its operands.
  using Backward = std::function<absl::Status()>;

  explicit GradientTape(StepEmitter* emitter) : emitter_(emitter) {}

  // The gradient of `value` is wanted.
  void Require(const std::string& value, const Shape& shape) { shapes_[value] = shape; }
  bool Requires(const std::string& value) const { return shapes_.count(value) != 0; }

  // The gradient of `value` (required; used by `uses` operands) must end up in `memory`, which is
  // plain.
  void SetDestination(const std::string& value, const TensorRef& memory, int uses);

  // `result` was made by an operator; `label` names its node.
  void Record(const std::string& result, const std::string& label, Backward backward);

  // Emits the gradient of every required value that what was delivered so far reaches.
  absl::Status Run();

  // For Backward functions ------------------------------------------------------

  // The gradient of `value`, all its terms added up, in `layout` (any: as it comes).
  absl::StatusOr<TensorRef> Total(const std::string& value, const Layout& layout);
  // The same as one or two terms that are still to be added.
  absl::StatusOr<std::vector<TensorRef>> Terms(const std::string& value, const Layout& layout);

  // Where an operation should write a gradient of `value`: its destination if it can
  // go there directly, else new memory. Also for values whose gradient nobody wants.
  OperationOutput Output(const std::string& value, const TensorDescription& description) const;
  // Adds a term that an operation has written to Output().
  absl::Status Deliver(const std::string& value, const TensorRef& term);
  // Adds a term in memory that is a term of another value too.
  absl::Status DeliverShared(const std::string& value, const TensorRef& term);
  // Emits `operation`, whose only output is a gradient of `value` of `description`, and delivers
  // it. Where a term exists and `accumulating` (the same parameters with accumulate set) is given,
  // the operation adds to it instead.
  absl::Status EmitTerm(const std::string& value, Operation operation,
                        const TensorDescription& description,
                        std::optional<OpParameters> accumulating = std::nullopt);

 private:
  struct Term {
    TensorRef ref;
    bool exclusive;  // Nobody else reads this memory: it may be added to.
  };
  struct Destination {
    TensorRef memory;
    int uses;
  };
  struct Entry {
    std::string result;
    std::string label;
    Backward backward;
  };

  absl::Status AddTerm(const std::string& value, TensorRef ref, bool exclusive);
  absl::StatusOr<TensorRef> Add(const TensorRef& a, const TensorRef& b,
                                std::optional<TensorRef> into);
  absl::Status Finish(const std::string& value, const Destination& destination);

  StepEmitter* emitter_;
  std::map<std::string, Shape> shapes_;
  std::map<std::string, Destination> destinations_;
  std::map<std::string, std::vector<Term>> terms_;
  std::vector<Entry> entries_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_GRADIENT_TAPE_H_
