#include "worker/export/constant_channels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>

#include "worker/model/op_params.h"

namespace topiary {
namespace {

using Constants = std::vector<absl::optional<float>>;

// Walks a graph once, from the inputs to the outputs.
class Walk {
 public:
  Walk(const Graph& graph, const InferredGraph& inferred, const ChannelCoupling& coupling)
      : graph_(graph), inferred_(inferred), coupling_(coupling) {}

  ConstantChannels Run();

 private:
  using Rule = void (Walk::*)(const Node&, Constants*);
  static Rule RuleOf(const std::string& op_type);

  // Each sets the channels of the node's result that it knows.
  void Convolution(const Node& node, Constants* out);
  void Gemm(const Node& node, Constants* out);
  void MatMul(const Node& node, Constants* out);
  void Gather(const Node& node, Constants* out);
  void BatchNorm(const Node& node, Constants* out);
  void Unary(const Node& node, Constants* out);
  void Binary(const Node& node, Constants* out);
  void AveragePool(const Node& node, Constants* out);
  void Same(const Node& node, Constants* out);
  void Flatten(const Node& node, Constants* out);
  void Concat(const Node& node, Constants* out);

  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }
  const Tensor& WeightOf(const std::string& name) const {
    return graph_.FindInitializer(name)->value;
  }
  // Of a value; all unknown where it has no channels.
  const Constants* ValueOf(const std::string& name) const {
    const auto found = constants_.find(name);
    return found == constants_.end() ? nullptr : &found->second;
  }
  // Of any operand of an element-wise node, for `channels` of its result that lie along the axis
  // `from_end` from the last.
  Constants OperandOf(const std::string& name, int from_end, int64_t channels) const;

  const Graph& graph_;
  const InferredGraph& inferred_;
  const ChannelCoupling& coupling_;
  ConstantChannels constants_;
};

Walk::Rule Walk::RuleOf(const std::string& op_type) {
  static const auto* const kRules = new std::unordered_map<std::string, Rule>{
      {"Conv", &Walk::Convolution},
      {"Gemm", &Walk::Gemm},
      {"MatMul", &Walk::MatMul},
      {"Gather", &Walk::Gather},
      {"BatchNormalization", &Walk::BatchNorm},
      {"Add", &Walk::Binary},
      {"Sub", &Walk::Binary},
      {"Mul", &Walk::Binary},
      {"Div", &Walk::Binary},
      {"AveragePool", &Walk::AveragePool},
      {"Flatten", &Walk::Flatten},
      {"Reshape", &Walk::Flatten},
      {"Concat", &Walk::Concat},
      {"Clip", &Walk::Unary},
      {"Erf", &Walk::Unary},
      {"Gelu", &Walk::Unary},
      {"LeakyRelu", &Walk::Unary},
      {"Relu", &Walk::Unary},
      {"Sigmoid", &Walk::Unary},
      {"Tanh", &Walk::Unary},
      {"Dropout", &Walk::Same},
      {"GlobalAveragePool", &Walk::Same},
      {"Identity", &Walk::Same},
      {"MaxPool", &Walk::Same},
      {"Squeeze", &Walk::Same},
      {"Transpose", &Walk::Same},
      {"Unsqueeze", &Walk::Same},
  };
  const auto found = kRules->find(op_type);
  return found == kRules->end() ? nullptr : found->second;
}

ConstantChannels Walk::Run() {
  for (const int index : inferred_.live_nodes) {
    const Node& node = graph_.nodes[index];
    const size_t channels = coupling_.ChannelsOf(node.output(0)).size();
    if (channels == 0) continue;
    Constants constants(channels);
    if (const Rule rule = RuleOf(node.op_type)) (this->*rule)(node, &constants);
    for (absl::optional<float>& constant : constants) {
      if (constant.has_value() && !std::isfinite(*constant)) constant.reset();
    }
    constants_[node.output(0)] = std::move(constants);
  }
  return std::move(constants_);
}

void Walk::Convolution(const Node& node, Constants* out) {
  const Tensor& weights = WeightOf(node.input(1));
  const Tensor* bias =
      node.inputs.size() > 2 && !node.input(2).empty() ? &WeightOf(node.input(2)) : nullptr;
  for (size_t o = 0; o < out->size(); ++o) {
    if (!IsZeroSlice(weights, 0, static_cast<int64_t>(o))) continue;
    (*out)[o] = bias == nullptr ? 0 : bias->data<float>()[o];
  }
}

void Walk::Gemm(const Node& node, Constants* out) {
  const GemmParams params = ReadGemm(node).value();
  const Tensor& weights = WeightOf(node.input(1));
  const auto channels = static_cast<int64_t>(out->size());
  Constants bias(out->size(), 0);
  if (node.inputs.size() > 2 && !node.input(2).empty()) {
    bias = OperandOf(node.input(2), 1, channels);
  }
  for (int64_t o = 0; o < channels; ++o) {
    if (!bias[o].has_value() || !IsZeroSlice(weights, params.trans_b ? 0 : 1, o)) continue;
    (*out)[o] = params.beta * *bias[o];
  }
}

void Walk::MatMul(const Node& node, Constants* out) {
  const Tensor& weights = WeightOf(node.input(1));
  for (size_t o = 0; o < out->size(); ++o) {
    if (IsZeroSlice(weights, 1, static_cast<int64_t>(o))) (*out)[o] = 0;
  }
}

void Walk::Gather(const Node& node, Constants* out) {
  const Tensor& table = WeightOf(node.input(0));
  if (table.dtype() != DType::kFloat32) return;
  for (size_t o = 0; o < out->size(); ++o) {
    if (IsZeroSlice(table, 1, static_cast<int64_t>(o))) (*out)[o] = 0;
  }
}

void Walk::BatchNorm(const Node& node, Constants* out) {
  const double epsilon = ReadBatchNorm(node).value().epsilon;
  const Constants* src = ValueOf(node.input(0));
  const float* scale = WeightOf(node.input(1)).data<float>();
  const float* bias = WeightOf(node.input(2)).data<float>();
  const float* mean = WeightOf(node.input(3)).data<float>();
  const float* variance = WeightOf(node.input(4)).data<float>();
  for (size_t c = 0; c < out->size(); ++c) {
    const double factor = scale[c] / std::sqrt(variance[c] + epsilon);
    if (factor == 0) {
      (*out)[c] = bias[c];
    } else if (src != nullptr && (*src)[c].has_value()) {
      (*out)[c] = static_cast<float>((double{*(*src)[c]} - mean[c]) * factor + bias[c]);
    }
  }
}

void Walk::Unary(const Node& node, Constants* out) {
  const Constants* src = ValueOf(node.input(0));
  if (src == nullptr) return;
  const std::string& op = node.op_type;
  float alpha = 0;
  ClipParams clip{std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()};
  if (op == "LeakyRelu") alpha = ReadLeakyReluAlpha(node).value();
  if (op == "Clip") {
    const auto bound = [&](size_t i) {
      return node.inputs.size() > i ? ConstantValue(graph_, inferred_, node.input(i)) : nullptr;
    };
    clip = ReadClip(bound(1), bound(2)).value();
  }
  const auto apply = [&](double x) -> double {
    if (op == "Relu") return std::max(x, 0.0);
    if (op == "LeakyRelu") return x < 0 ? alpha * x : x;
    if (op == "Clip") return std::min<double>(std::max<double>(x, clip.min), clip.max);
    if (op == "Sigmoid") return 1 / (1 + std::exp(-x));
    if (op == "Tanh") return std::tanh(x);
    if (op == "Erf") return std::erf(x);
    return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));  // Gelu.
  };
  for (size_t c = 0; c < out->size(); ++c) {
    if ((*src)[c].has_value()) (*out)[c] = static_cast<float>(apply(*(*src)[c]));
  }
}

Constants Walk::OperandOf(const std::string& name, int from_end, int64_t channels) const {
  if (const Constants* value = ValueOf(name)) return *value;
  Constants constants(static_cast<size_t>(channels));
  const Tensor* tensor = ConstantValue(graph_, inferred_, name);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32) return constants;
  const int axis = tensor->shape().rank() - from_end;
  const int64_t extent = axis < 0 ? 1 : tensor->shape()[axis];
  // Other axes must not vary.
  if (tensor->element_count() != extent || (extent != 1 && extent != channels)) return constants;
  for (int64_t c = 0; c < channels; ++c) constants[c] = tensor->data<float>()[extent == 1 ? 0 : c];
  return constants;
}

void Walk::Binary(const Node& node, Constants* out) {
  const int from_end = ShapeOf(node.output(0)).rank() - *coupling_.ChannelAxis(node.output(0));
  const auto channels = static_cast<int64_t>(out->size());
  const Constants a = OperandOf(node.input(0), from_end, channels);
  const Constants b = OperandOf(node.input(1), from_end, channels);
  for (size_t c = 0; c < out->size(); ++c) {
    const bool zero = (a[c].has_value() && *a[c] == 0) || (b[c].has_value() && *b[c] == 0);
    if (node.op_type == "Mul" && zero) {
      (*out)[c] = 0;
    } else if (a[c].has_value() && b[c].has_value()) {
      (*out)[c] = node.op_type == "Add"   ? *a[c] + *b[c]
                  : node.op_type == "Sub" ? *a[c] - *b[c]
                  : node.op_type == "Mul" ? *a[c] * *b[c]
                                          : *a[c] / *b[c];
    }
  }
}

// Near the edge the zeros of the padding may be counted in.
void Walk::AveragePool(const Node& node, Constants* out) {
  const PoolParams params = ReadPool(node, ShapeOf(node.input(0))).value();
  const auto none = [](const std::vector<int64_t>& pads) {
    return std::all_of(pads.begin(), pads.end(), [](int64_t pad) { return pad == 0; });
  };
  const bool padded = !none(params.window.pads_begin) || !none(params.explicit_pads_end);
  Same(node, out);
  if (!params.count_include_pad || !padded) return;
  for (absl::optional<float>& constant : *out) {
    if (constant.has_value() && *constant != 0) constant.reset();
  }
}

void Walk::Same(const Node& node, Constants* out) {
  if (const Constants* src = ValueOf(node.input(0))) *out = *src;
}

void Walk::Flatten(const Node& node, Constants* out) {
  const Constants* src = ValueOf(node.input(0));
  if (src == nullptr) return;
  const size_t per_channel = out->size() / src->size();
  for (size_t i = 0; i < out->size(); ++i) (*out)[i] = (*src)[i / per_channel];
}

void Walk::Concat(const Node& node, Constants* out) {
  const int rank = ShapeOf(node.output(0)).rank();
  const int axis = *coupling_.ChannelAxis(node.output(0));
  if (ReadAxis(node, rank).value() != axis) return;
  size_t at = 0;
  for (const std::string& input : node.inputs) {
    const Constants* src = ValueOf(input);
    for (int64_t c = 0; c < ShapeOf(input)[axis]; ++c, ++at) {
      if (src != nullptr) (*out)[at] = (*src)[c];
    }
  }
}

}  // namespace

bool IsZeroSlice(const Tensor& tensor, int axis, int64_t index) {
  const int64_t inner = tensor.shape().Strides()[axis];
  const int64_t extent = tensor.shape()[axis];
  const float* data = tensor.data<float>();
  for (int64_t at = index * inner; at < tensor.element_count(); at += extent * inner) {
    if (!std::all_of(data + at, data + at + inner, [](float value) { return value == 0; })) {
      return false;
    }
  }
  return true;
}

ConstantChannels FindConstantChannels(const Graph& graph, const InferredGraph& inferred,
                                      const ChannelCoupling& coupling) {
  return Walk(graph, inferred, coupling).Run();
}

}  // namespace topiary
