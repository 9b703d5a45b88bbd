#ifndef TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_
#define TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/features/feature_layer.h"
#include "worker/model/graph.h"
#include "worker/model/shape_inference.h"
#include "worker/tensor/shape.h"

namespace topiary {

// Follows the elements of the inputs through `graph` for as long as each number depends on one of
// them alone. Refers to the graph it was made from. Thread-compatible.
class FeatureTrace {
 public:
  // Errors as InferShapes().
  static absl::StatusOr<FeatureTrace> Create(const Graph& graph);

  // Whether each number of `value` depends on one element of an input.
  bool Has(const std::string& value) const { return elements_.count(value) > 0; }
  // That element, for each number of an example. `value` must be traced.
  const std::vector<InputElement>& ElementsOf(const std::string& value) const {
    return elements_.at(value);
  }
  // With the batch of 2 at which shapes were inferred.
  const Shape& ShapeOf(const std::string& value) const { return inferred_.values.at(value).shape; }

  // Whether what `node` makes is traced.
  bool Carries(const Node& node) const { return Has(node.output(0)); }
  // Whether `node` acts on each number by itself: on operand 0, or on the one that is no constant.
  static bool IsElementwise(const Node& node);
  static bool IsBinary(const Node& node);
  static bool OnlyReshapes(const Node& node);

 private:
  explicit FeatureTrace(const Graph& graph) : graph_(&graph) {}
  void Follow(const Node& node);
  void FollowBinary(const Node& node);
  void FollowConcat(const Node& node);
  void FollowGather(const Node& node);
  bool IsParameter(const std::string& name) const;

  const Graph* graph_;
  InferredGraph inferred_;
  std::map<std::string, std::vector<InputElement>> elements_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_FEATURE_TRACE_H_
