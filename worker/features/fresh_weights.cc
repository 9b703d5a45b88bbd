#include "worker/features/fresh_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "common/random.h"
#include "common/status_macros.h"
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

constexpr double kEmbeddingBound = 0.05;

// What each initializer is to hold.
struct Start {
  enum class Kind { kUniform, kConstant };
  Kind kind = Kind::kConstant;
  double value = 0;  // Bound, or constant.
};

double GlorotBound(const PrunableLayer& layer) {
  const int64_t spatial = layer.rows / layer.in_extent;  // Kernel elements.
  const auto fans = static_cast<double>(layer.rows + layer.cols * spatial);
  return std::sqrt(6.0 / fans);
}

// Whether it is no matrix, as of positions.
bool IsVector(const Shape& shape) {
  int axes = 0;
  for (int i = 0; i < shape.rank(); ++i) axes += shape[i] > 1 ? 1 : 0;
  return axes <= 1;
}

std::map<std::string, Start> StartsOf(const Graph& graph) {
  std::map<std::string, Start> starts;
  const auto constant = [&starts](const std::string& name, double value) {
    if (!name.empty()) starts.emplace(name, Start{Start::Kind::kConstant, value});
  };
  std::set<std::string> of_layers;  // Results of layers.
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    starts.emplace(layer.weight, Start{Start::Kind::kUniform, GlorotBound(layer)});
    for (const int index : layer.nodes) of_layers.insert(graph.nodes[index].output(0));
  }
  std::set<std::string> vectors;
  for (const Initializer& initializer : graph.initializers) {
    if (IsVector(initializer.value.shape())) vectors.insert(initializer.name);
  }
  for (const Node& node : graph.nodes) {
    if (node.op_type == "BatchNormalization" || node.op_type == "LayerNormalization") {
      constant(node.input(1), 1);
      constant(node.input(2), 0);
      constant(node.input(3), 0);
      constant(node.input(4), 1);
    } else if (node.op_type == "Gemm" || node.op_type == "Conv") {
      constant(node.input(2), 0);
    } else if (node.op_type == "Gather") {
      starts.emplace(node.input(0), Start{Start::Kind::kUniform, kEmbeddingBound});
    } else if (node.op_type == "Add") {
      for (int i = 0; i < 2; ++i) {
        if (of_layers.count(node.input(i)) == 0 || vectors.count(node.input(1 - i)) == 0) continue;
        constant(node.input(1 - i), 0);
      }
    }
  }
  return starts;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> DrawFreshWeights(uint64_t seed, Graph* graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(*graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(*graph, shapes));
  std::set<std::string> fresh(inferred.parameters.begin(), inferred.parameters.end());
  fresh.insert(inferred.statistics.begin(), inferred.statistics.end());
  const std::map<std::string, Start> starts = StartsOf(*graph);
  std::vector<std::string> kept;
  uint64_t drawn = 0;
  for (Initializer& initializer : graph->initializers) {
    if (fresh.count(initializer.name) == 0) continue;
    const auto start = starts.find(initializer.name);
    if (start == starts.end()) {
      kept.push_back(initializer.name);
      continue;
    }
    Tensor value(DType::kFloat32, initializer.value.shape());
    const absl::Span<float> values = value.span<float>();
    const double v = start->second.value;
    if (start->second.kind == Start::Kind::kConstant) {
      std::fill(values.begin(), values.end(), static_cast<float>(v));
    } else {
      Random random(seed, kStreamInitialWeights | (drawn++ << 32), 0);
      for (float& x : values) x = static_cast<float>(v * (2 * random.Uniform() - 1));
    }
    initializer.value = std::move(value);
  }
  return kept;
}

}  // namespace topiary
