#include "worker/engine/layer_samples.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// How an operand of a node is the weight of a layer.
enum class Operand { kOther, kWeight, kTransposition };

Operand OperandKind(const Graph& graph, const std::string& operand, const std::string& weight) {
  if (operand == weight) return Operand::kWeight;
  const bool transposed =
      std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
        return node.op_type == "Transpose" && node.input(0) == weight && node.output(0) == operand;
      });
  return transposed ? Operand::kTransposition : Operand::kOther;
}

// A matrix [rows, cols] for a vector [size] on either side of a product.
Shape AsMatrices(const Shape& shape, bool on_left) {
  if (shape.rank() != 1) return shape;
  return on_left ? Shape({1, shape[0]}) : Shape({shape[0], 1});
}

// Number of matrices in a stack, and which of it element `index` of the broadcast stack is.
class Stack {
 public:
  Stack(const Shape& matrices, const std::vector<int64_t>& broadcast) {
    const int own = matrices.rank() - 2;
    const int offset = static_cast<int>(broadcast.size()) - own;
    strides_.assign(broadcast.size(), 0);
    int64_t stride = 1;
    for (int i = own - 1; i >= 0; --i) {
      if (matrices[i] > 1) strides_[offset + i] = stride;
      stride *= matrices[i];
    }
    count_ = stride;
  }
  int64_t count() const { return count_; }
  int64_t At(const std::vector<int64_t>& index) const {
    int64_t at = 0;
    for (size_t i = 0; i < index.size(); ++i) at += index[i] * strides_[i];
    return at;
  }

 private:
  std::vector<int64_t> strides_;
  int64_t count_ = 1;
};

// The leading extents that two stacks of matrices broadcast to.
std::vector<int64_t> BroadcastStack(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank()) - 2;
  std::vector<int64_t> extents(rank, 1);
  for (const Shape* shape : {&a, &b}) {
    const int own = shape->rank() - 2;
    for (int i = 0; i < own; ++i) {
      int64_t& extent = extents[rank - own + i];
      extent = std::max(extent, (*shape)[i]);
    }
  }
  return extents;
}

}  // namespace

absl::StatusOr<std::optional<LayerSamples>> LayerSamples::Of(const Graph& graph,
                                                             const InferredGraph& inferred,
                                                             const PrunableLayer& layer,
                                                             int index) {
  const Node& node = graph.nodes[index];
  const Operand first = OperandKind(graph, node.input(0), layer.weight);
  const bool on_left = layer.kind != LayerKind::kConv && first != Operand::kOther;
  LayerSamples samples;
  samples.activation_ = node.input(on_left ? 1 : 0);
  samples.inputs_ = layer.rows;
  const auto src = inferred.values.find(samples.activation_);
  if (src == inferred.values.end() || inferred.constants.count(samples.activation_) > 0 ||
      graph.FindInitializer(samples.activation_) != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(NodeLabel(node, index), " multiplies weight '", layer.weight,
                     "' with a constant: there are no inputs to calibrate it by; leave it out with "
                     "target.exclude_layers"));
  }
  if (layer.kind == LayerKind::kConv) {
    RETURN_IF_ERROR(samples.DescribeConvolution(node, src->second.shape, layer));
    if (samples.places_.groups != layer.groups) return std::optional<LayerSamples>();
    return samples;
  }
  const Operand operand = on_left ? first : OperandKind(graph, node.input(1), layer.weight);
  // As the node has its two operands: transposed once more by Gemm.
  bool transposes_weight = operand == Operand::kTransposition;
  bool transposes_activation = false;
  if (node.op_type == "Gemm") {
    ASSIGN_OR_RETURN(const GemmParams params, ReadGemm(node));
    if (on_left ? params.trans_a : params.trans_b) transposes_weight = !transposes_weight;
    transposes_activation = on_left ? params.trans_b : params.trans_a;
  }
  // On the left K is the last axis of what is multiplied, on the right the one before.
  const bool inputs_last_in_storage = on_left != transposes_weight;
  if (inputs_last_in_storage != layer.transposed) return std::optional<LayerSamples>();
  Operands operands;
  operands.activation = AsMatrices(src->second.shape, !on_left);
  operands.weight = AsMatrices(layer.shape, on_left);
  operands.inputs_last = on_left == transposes_activation;
  samples.DescribeProduct(operands);
  return samples;
}

absl::Status LayerSamples::DescribeConvolution(const Node& node, const Shape& src,
                                               const PrunableLayer& layer) {
  ASSIGN_OR_RETURN(const ConvParams params, ReadConv(node, src, layer.shape));
  convolves_ = true;
  const Window& window = params.window;
  const int axes = static_cast<int>(window.kernel.size());
  places_.examples = src[0];
  places_.groups = params.group;
  places_.channels = src[1] / params.group;
  for (int i = 0; i < axes; ++i) {
    const int to = 2 - axes + i;
    places_.extent[to] = src[2 + i];
    places_.kernel[to] = window.kernel[i];
    places_.stride[to] = window.strides[i];
    places_.dilation[to] = window.dilations[i];
    places_.pad[to] = window.pads_begin[i];
    places_.places[to] = window.dst_spatial[i];
  }
  return absl::OkStatus();
}

void LayerSamples::DescribeProduct(const Operands& operands) {
  const Shape& x = operands.activation;
  const int rank = x.rank();
  const int64_t matrix = x[rank - 2] * x[rank - 1];
  Rows rows;
  rows.count = operands.inputs_last ? x[rank - 2] : x[rank - 1];
  rows.sample_stride = operands.inputs_last ? x[rank - 1] : 1;
  rows.input_stride = operands.inputs_last ? 1 : x[rank - 1];
  const std::vector<int64_t> extents = BroadcastStack(x, operands.weight);
  const Stack activations(x, extents);
  const Stack weights(operands.weight, extents);
  std::vector<int64_t> index(extents.size(), 0);
  while (true) {
    rows.group = weights.At(index);
    rows.begin = activations.At(index) * matrix;
    rows_.push_back(rows);
    int axis = static_cast<int>(index.size()) - 1;
    for (; axis >= 0; --axis) {
      if (++index[axis] < extents[axis]) break;
      index[axis] = 0;
    }
    if (axis < 0) break;
  }
  // One matrix for all, which follow each other: one long one.
  if (weights.count() == 1 && operands.inputs_last) {
    rows_.resize(1);
    rows_[0].count = x.element_count() / inputs_;
  }
}

std::string LayerSamples::Key() const {
  std::string key = absl::StrCat(activation_, " inputs ", inputs_);
  for (const Rows& rows : rows_) {
    absl::StrAppend(&key, " ", rows.group, ":", rows.begin, ":", rows.count, ":",
                    rows.sample_stride, ":", rows.input_stride);
  }
  if (!convolves_) return key;
  absl::StrAppend(&key, " groups ", places_.groups);
  for (const auto& pair :
       {places_.kernel, places_.stride, places_.dilation, places_.pad, places_.places}) {
    absl::StrAppend(&key, " ", absl::StrJoin(absl::MakeConstSpan(pair, 2), "x"));
  }
  return key;
}

void LayerSamples::ForEach(const float* activations, const Visit& visit) const {
  convolves_ ? ForEachPlace(activations, visit) : ForEachRow(activations, visit);
}

void LayerSamples::ForEachRow(const float* x, const Visit& visit) const {
  std::vector<float> gathered(inputs_);
  for (const Rows& rows : rows_) {
    for (int64_t r = 0; r < rows.count; ++r) {
      const float* sample = x + rows.begin + r * rows.sample_stride;
      if (rows.input_stride != 1) {
        for (int64_t k = 0; k < inputs_; ++k) gathered[k] = sample[k * rows.input_stride];
        sample = gathered.data();
      }
      visit(rows.group, {sample, static_cast<size_t>(inputs_)});
    }
  }
}

void LayerSamples::ForEachPlace(const float* x, const Visit& visit) const {
  std::vector<float> sample(inputs_);
  const int64_t plane = places_.extent[0] * places_.extent[1];
  // Matrix by matrix: whoever gathers samples of one at a time has many in a row.
  for (int64_t group = 0; group < places_.groups; ++group) {
    for (int64_t example = 0; example < places_.examples; ++example) {
      const float* image = x + (example * places_.groups + group) * places_.channels * plane;
      for (int64_t row = 0; row < places_.places[0]; ++row) {
        for (int64_t col = 0; col < places_.places[1]; ++col) {
          ReadPlace(image, row, col, sample.data());
          visit(group, sample);
        }
      }
    }
  }
}

// In the order of the layer's rows: kernel height, kernel width, channel. Padding reads 0.
void LayerSamples::ReadPlace(const float* image, int64_t row, int64_t col, float* sample) const {
  const Places& p = places_;
  const int64_t plane = p.extent[0] * p.extent[1];
  for (int64_t i = 0; i < p.kernel[0]; ++i) {
    const int64_t y = row * p.stride[0] - p.pad[0] + i * p.dilation[0];
    for (int64_t j = 0; j < p.kernel[1]; ++j, sample += p.channels) {
      const int64_t x = col * p.stride[1] - p.pad[1] + j * p.dilation[1];
      if (y < 0 || y >= p.extent[0] || x < 0 || x >= p.extent[1]) {
        std::fill_n(sample, p.channels, 0.0F);
        continue;
      }
      const float* first = image + y * p.extent[1] + x;
      for (int64_t c = 0; c < p.channels; ++c) sample[c] = first[c * plane];
    }
  }
}

}  // namespace topiary
