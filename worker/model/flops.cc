#include "worker/model/flops.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/status_macros.h"
#include "worker/model/layers.h"
#include "worker/model/op_params.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

double Elements(const Shape& shape) {
  double count = 1;
  for (const int64_t extent : shape.dims()) count *= static_cast<double>(extent);
  return count;
}

// How many products are added up for one element of the result; 0 for nodes without products.
absl::StatusOr<double> LengthOfSums(const Node& node, const InferredGraph& inferred) {
  const auto shape = [&](int operand) -> const Shape& {
    return inferred.values.at(node.input(operand)).shape;
  };
  if (node.op_type == "Conv") {
    return Elements(shape(1)) / static_cast<double>(std::max<int64_t>(1, shape(1)[0]));
  }
  if (node.op_type == "MatMul") {
    return static_cast<double>(shape(0)[shape(0).rank() - 1]);
  }
  if (node.op_type == "Gemm") {
    ASSIGN_OR_RETURN(const GemmParams params, ReadGemm(node));
    return static_cast<double>(shape(0)[params.trans_a ? 0 : 1]);
  }
  return 0.0;
}

}  // namespace

int64_t WholeFlops(double flops) {
  return flops < 0x1p63 ? std::llround(flops) : std::numeric_limits<int64_t>::max();
}

absl::StatusOr<Flops> CountFlops(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  Flops flops;
  std::vector<double> of_node(graph.nodes.size(), 0);
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    ASSIGN_OR_RETURN(const double length, LengthOfSums(node, inferred));
    if (length == 0) continue;
    of_node[index] = 2 * length * Elements(inferred.values.at(node.output(0)).shape);
    flops.total += of_node[index];
  }
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    double& per_element = flops.per_element[layer.weight];
    for (const int index : layer.nodes) {
      per_element +=
          of_node[index] / static_cast<double>(std::max<int64_t>(1, layer.element_count()));
    }
  }
  return flops;
}

}  // namespace topiary
