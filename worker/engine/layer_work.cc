#include "worker/engine/layer_work.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

using Pattern = std::shared_ptr<const BlockSparsePattern>;

TensorDescription Described(const Shape& shape, Layout layout) {
  return {shape, DType::kFloat32, std::move(layout)};
}

MatMulParameters Parameters(bool transpose_a, bool transpose_b) {
  MatMulParameters p;
  p.transpose_a = transpose_a;
  p.transpose_b = transpose_b;
  return p;
}

std::vector<OpDescription> MatrixProducts(const LayerWork& work, const Pattern& pattern) {
  const bool training = work.use == LayerUse::kTraining;
  const TensorDescription src = Described(work.src, Layout::Plain());
  const TensorDescription dst = Described(work.dst, Layout::Plain());
  const TensorDescription weights =
      Described(work.weights, training ? Layout::Plain() : Layout::Any());
  const auto flipped = pattern == nullptr
                           ? nullptr
                           : std::make_shared<const BlockSparsePattern>(pattern->Transposed());
  MatMulParameters forward = Parameters(false, work.transposed);
  forward.b_pattern = pattern;
  std::vector<OpDescription> products = {{OpKind::kMatMul, forward, {src, weights, dst}}};
  if (!training) return products;
  MatMulParameters of_data = Parameters(false, !work.transposed);
  of_data.b_pattern = flipped;
  products.push_back({OpKind::kMatMul, of_data, {dst, weights, src}});
  MatMulParameters of_weights = Parameters(true, false);
  of_weights.dst_pattern = work.transposed ? flipped : pattern;
  const TensorDescription plain = Described(work.weights, Layout::Plain());
  if (work.transposed) {
    products.push_back({OpKind::kMatMul, of_weights, {dst, src, plain}});
  } else {
    products.push_back({OpKind::kMatMul, of_weights, {src, dst, plain}});
  }
  return products;
}

std::vector<OpDescription> Convolutions(const LayerWork& work, const Pattern& pattern) {
  const bool training = work.use == LayerUse::kTraining;
  ConvolutionParameters p = work.convolution;
  p.pattern = pattern;
  const TensorDescription src = Described(work.src, Layout::Any());
  const TensorDescription dst = Described(work.dst, Layout::Any());
  // Weights that change are packed for each block-sparse product, which is then part of its work.
  const bool packed = training && pattern != nullptr;
  const TensorDescription weights =
      Described(work.weights, packed ? Layout::Plain() : Layout::Any());
  std::vector<OpDescription> products = {{OpKind::kConvolutionForward, p, {src, weights, dst}}};
  if (!training) return products;
  products.push_back({OpKind::kConvolutionBackwardData, p, {dst, weights, src}});
  products.push_back(
      {OpKind::kConvolutionBackwardWeights, p, {src, dst, Described(work.weights, Layout::Any())}});
  return products;
}

// Whether `node` has the weight where kernels can leave out blocks of it.
bool MultipliesFromTheRight(const Graph& graph, const Node& node, const PrunableLayer& layer) {
  if (node.input(1) == layer.weight) return true;
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& transpose) {
    return transpose.op_type == "Transpose" && transpose.input(0) == layer.weight &&
           transpose.output(0) == node.input(1);
  });
}

}  // namespace

ConvolutionParameters ConvolutionParametersOf(const ConvParams& params) {
  ConvolutionParameters p;
  p.strides = params.window.strides;
  p.dilations = params.window.dilations;
  p.pads_begin = params.window.pads_begin;
  p.pads_end = params.window.pads_end;
  p.groups = params.group;
  return p;
}

std::string LayerWork::Key() const {
  std::string key = absl::StrCat(
      use == LayerUse::kTraining ? "training " : "inference ",
      kind == LayerKind::kConv ? "convolution " : "product ", absl::StrJoin(src.dims(), "x"), " * ",
      absl::StrJoin(weights.dims(), "x"), transposed ? "T" : "", " = ",
      absl::StrJoin(dst.dims(), "x"), " blocks ", block_rows, "x", block_cols);
  if (kind != LayerKind::kConv) return key;
  return absl::StrCat(key, " strides ", absl::StrJoin(convolution.strides, "x"), " dilations ",
                      absl::StrJoin(convolution.dilations, "x"), " pads ",
                      absl::StrJoin(convolution.pads_begin, "x"), " groups ", groups);
}

bool HasSkippableBlocks(const PrunableLayer& layer) {
  // A layer of several nodes is seen as the first of them does, which may be one that nobody needs.
  if (layer.kind != LayerKind::kConv && layer.groups > 1) return false;
  return layer.nodes.size() == 1;
}

absl::StatusOr<std::optional<LayerWork>> WorkOf(const Graph& graph, const InferredGraph& inferred,
                                                const PrunableLayer& layer, LayerUse use,
                                                int64_t block_rows, int64_t block_cols) {
  if (!HasSkippableBlocks(layer)) return std::nullopt;
  const Node& node = graph.nodes[layer.nodes[0]];
  const auto src = inferred.values.find(node.input(0));
  const auto dst = inferred.values.find(node.output(0));
  if (src == inferred.values.end() || dst == inferred.values.end()) return std::nullopt;
  LayerWork work;
  work.use = use;
  work.kind = layer.kind;
  work.rows = layer.rows;
  work.cols = layer.cols;
  work.groups = layer.groups;
  work.block_rows = std::min(block_rows, layer.rows);
  work.block_cols = std::min(block_cols, layer.cols);
  work.transposed = layer.transposed;
  work.weights = layer.shape;
  if (layer.kind == LayerKind::kConv) {
    work.src = src->second.shape;
    work.dst = dst->second.shape;
    ASSIGN_OR_RETURN(const ConvParams params, ReadConv(node, work.src, work.weights));
    work.convolution = ConvolutionParametersOf(params);
    return work;
  }
  if (!MultipliesFromTheRight(graph, node, layer)) return std::nullopt;
  if (layer.kind == LayerKind::kGemm) {
    ASSIGN_OR_RETURN(const GemmParams params, ReadGemm(node));
    if (params.trans_a) return std::nullopt;
  }
  // A vector that is multiplied is a matrix of one row; leading axes are rows.
  const int64_t count = src->second.shape.element_count() / std::max<int64_t>(1, layer.rows);
  work.src = Shape({count, layer.rows});
  work.dst = Shape({count, layer.cols});
  return work;
}

std::vector<OpDescription> ProductsOf(const LayerWork& work,
                                      const std::shared_ptr<const BlockSparsePattern>& pattern) {
  return work.kind == LayerKind::kConv ? Convolutions(work, pattern)
                                       : MatrixProducts(work, pattern);
}

}  // namespace topiary
