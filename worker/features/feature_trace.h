#ifndef TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_
#define TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/features/feature_layer.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Follows the elements of the inputs through `graph` for as long as each number depends on one of
// them alone. Refers to the graph it was made from. Thread-compatible.
class FeatureTrace {
 public:
  // In all values of an example that are traced; what only passes elements on adds none.
  static constexpr int64_t kMaxElements = int64_t{1} << 22;

  // RESOURCE_EXHAUSTED, naming the place, beyond kMaxElements; INVALID_ARGUMENT where a constant
  // index of a Gather lies outside its axis; else as InferShapes().
  static absl::StatusOr<FeatureTrace> Create(const Graph& graph);

  // Whether each number of `value` depends on one element of an input.
  bool Has(const std::string& value) const { return elements_.count(value) > 0; }
  // That element, for each number of an example. `value` must be traced.
  const std::vector<InputElement>& ElementsOf(const std::string& value) const {
    return *elements_.at(value);
  }
  // With the batch of 2 at which shapes were inferred.
  const Shape& ShapeOf(const std::string& value) const { return inferred_.values.at(value).shape; }
  // InferredGraph::live_nodes: the others read no numbers of examples.
  const std::vector<int>& live_nodes() const { return inferred_.live_nodes; }

  // Whether what `node` makes is traced.
  bool Carries(const Node& node) const { return Has(node.output(0)); }
  // Whether `node` acts on each number by itself: on operand 0, or on the one that is no constant.
  static bool IsElementwise(const Node& node);
  static bool IsBinary(const Node& node);
  static bool OnlyReshapes(const Node& node);

 private:
  explicit FeatureTrace(const Graph& graph) : graph_(&graph) {}
  // Traces the inputs that a live node or an output reads: others may have any size.
  absl::Status StartInputs();
  absl::Status Follow(const Node& node);
  absl::Status FollowBinary(const Node& node);
  absl::Status FollowConcat(const Node& node);
  absl::Status FollowGather(const Node& node);
  absl::Status FollowTable(const Node& node, const Shape& table);
  absl::Status FollowColumns(const Node& node, int axis, const Tensor& indices);
  // Counts a value that gets a list of elements of its own, of which a hostile file could ask more
  // than any machine has.
  absl::Status Hold(const Shape& shape);
  void Set(const std::string& value, std::vector<InputElement> elements);
  bool IsParameter(const std::string& name) const;

  const Graph* graph_;
  InferredGraph inferred_;
  // Shared by the values between which elements only pass on.
  std::map<std::string, std::shared_ptr<const std::vector<InputElement>>> elements_;
  int64_t held_elements_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_
