#include "worker/model/layers.h"

#include <map>
#include <utility>

#include "absl/status/statusor.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// A stack of matrices whose last two axes are [rows][cols], or [cols][rows] if `transposed`.
PrunableLayer MatrixLayer(LayerKind kind, const Shape& shape, bool transposed) {
  PrunableLayer layer;
  layer.kind = kind;
  layer.shape = shape;
  layer.transposed = transposed;
  const int rank = shape.rank();
  const int64_t outer = rank == 1 ? shape[0] : shape[rank - 2];
  const int64_t inner = rank == 1 ? 1 : shape[rank - 1];
  for (int i = 0; i < rank - 2; ++i) layer.groups *= shape[i];
  layer.rows = transposed ? inner : outer;
  layer.cols = transposed ? outer : inner;
  layer.in_extent = layer.rows == 0 ? 1 : layer.rows;
  layer.group_stride = outer * inner;
  layer.in_stride = transposed ? 1 : inner;
  layer.col_stride = transposed ? inner : 1;
  return layer;
}

// Stored [out][in / groups][kh][kw].
PrunableLayer ConvLayer(const Shape& shape, int64_t groups) {
  PrunableLayer layer;
  layer.kind = LayerKind::kConv;
  layer.shape = shape;
  layer.transposed = true;
  layer.groups = groups;
  layer.cols = shape[0] / groups;
  layer.in_extent = shape[1];
  int64_t spatial = 1;
  for (int i = 2; i < shape.rank(); ++i) spatial *= shape[i];
  layer.rows = spatial * shape[1];
  layer.spatial_stride = 1;
  layer.in_stride = spatial;
  layer.col_stride = layer.rows;
  layer.group_stride = layer.cols * layer.rows;
  return layer;
}

bool IsWeight(const Initializer* initializer, int min_rank) {
  return initializer != nullptr && initializer->value.dtype() == DType::kFloat32 &&
         initializer->value.shape().rank() >= min_rank && initializer->value.element_count() > 0;
}

// Adds the layers of one graph, one node after another.
class LayerFinder {
 public:
  explicit LayerFinder(const Graph& graph) {
    for (const Initializer& i : graph.initializers) initializers_[i.name] = &i;
  }

  void Visit(const Node& node, int index) {
    if (node.op_type == "Transpose") {
      NoteTransposed(node);
    } else if (node.op_type == "Conv") {
      VisitConv(node, index);
    } else if (node.op_type == "Gemm") {
      const absl::StatusOr<GemmParams> params = ReadGemm(node);
      if (!params.ok()) return;
      // The left operand is [m][k]: its outputs are its first axis.
      VisitMatrix(node, index, LayerKind::kGemm, 0, 2, !params->trans_a);
      VisitMatrix(node, index, LayerKind::kGemm, 1, 2, params->trans_b);
    } else if (node.op_type == "MatMul") {
      VisitMatrix(node, index, LayerKind::kMatMul, 0, 2, true);
      VisitMatrix(node, index, LayerKind::kMatMul, 1, 1, false);
    }
  }

  std::vector<PrunableLayer> Take() && { return std::move(layers_); }

 private:
  const Initializer* Find(const std::string& name) const {
    const auto it = initializers_.find(name);
    return it == initializers_.end() ? nullptr : it->second;
  }

  // PyTorch's exporter writes nn.Linear on sequences as a MatMul of the transposed weight.
  void NoteTransposed(const Node& node) {
    const Initializer* weight = Find(node.input(0));
    if (!IsWeight(weight, 2) || weight->value.shape().rank() != 2) return;
    const absl::StatusOr<std::vector<int>> permutation = ReadPermutation(node, 2);
    if (permutation.ok() && (*permutation)[0] == 1) transposed_[node.output(0)] = weight;
  }

  void VisitMatrix(const Node& node, int index, LayerKind kind, int operand, int min_rank,
                   bool transposed) {
    const Initializer* weight = Find(node.input(operand));
    if (const auto it = transposed_.find(node.input(operand)); it != transposed_.end()) {
      weight = it->second;
      transposed = !transposed;
    }
    if (!IsWeight(weight, min_rank)) return;
    Add(node, index, weight->name, MatrixLayer(kind, weight->value.shape(), transposed));
  }

  void VisitConv(const Node& node, int index) {
    const Initializer* weight = Find(node.input(1));
    const absl::StatusOr<int64_t> group = IntAttribute(node, "group", 1);
    if (!IsWeight(weight, 3) || !group.ok() || *group < 1) return;
    if (weight->value.shape()[0] % *group != 0) return;
    Add(node, index, weight->name, ConvLayer(weight->value.shape(), *group));
  }

  void Add(const Node& node, int index, const std::string& weight, PrunableLayer layer) {
    const auto [it, added] = by_weight_.emplace(weight, layers_.size());
    if (added) {
      layer.weight = weight;
      layer.node_name = node.name;
      layers_.push_back(std::move(layer));
    }
    std::vector<int>& nodes = layers_[it->second].nodes;
    if (nodes.empty() || nodes.back() != index) nodes.push_back(index);
  }

  std::map<std::string, const Initializer*> initializers_;
  std::map<std::string, const Initializer*> transposed_;  // By the name of the Transpose's result.
  std::map<std::string, size_t> by_weight_;
  std::vector<PrunableLayer> layers_;
};

}  // namespace

const char* LayerKindName(LayerKind kind) {
  switch (kind) {
    case LayerKind::kGemm:
      return "Gemm";
    case LayerKind::kMatMul:
      return "MatMul";
    case LayerKind::kConv:
      return "Conv";
  }
  return "unknown";
}

std::vector<PrunableLayer> FindPrunableLayers(const Graph& graph) {
  LayerFinder finder(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    finder.Visit(graph.nodes[i], static_cast<int>(i));
  }
  return std::move(finder).Take();
}

}  // namespace topiary
