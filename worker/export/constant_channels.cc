#include "worker/export/constant_channels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>

#include "worker/model/op_params.h"
#include "worker/model/reshaped_axis.h"
#include "worker/model/weight_operands.h"

namespace topiary {
namespace {

using Constants = std::vector<absl::optional<float>>;

// What is known of a value: its elements where it varies along the axes that have an extent in
// `shape`, and is the same along those that have 1 there. Not along its channels only: those of a
// head are one channel.
struct Pattern {
  Shape shape;
  Constants values;
};

Pattern AlongAxis(int rank, int axis, Constants values) {
  const Shape ones(absl::MakeConstSpan(Shape::Dims(rank, 1)));
  const auto extent = static_cast<int64_t>(values.size());
  return {ones.WithDim(axis, extent), std::move(values)};
}

// `pattern` with all elements along `shape`, to which it stretches.
Constants Stretched(const Pattern& pattern, const Shape& shape) {
  const Shape::Dims strides = BroadcastStrides(pattern.shape, shape);
  const Shape::Dims whole = shape.Strides();
  Constants values(shape.element_count());
  for (int64_t i = 0; i < shape.element_count(); ++i) {
    int64_t at = 0;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      at += i / whole[axis] % shape[axis] * strides[axis];
    }
    values[i] = pattern.values[at];
  }
  return values;
}

// Patterns of more elements are not followed.
constexpr int64_t kMaxElements = int64_t{1} << 22;

// Walks a graph once, from the inputs to the outputs.
class Walk {
 public:
  Walk(const Graph& graph, const InferredGraph& inferred, const ChannelCoupling& coupling)
      : graph_(graph), inferred_(inferred), coupling_(coupling), operands_(graph, inferred) {}

  ConstantChannels Run();

 private:
  using ChannelRule = void (Walk::*)(const Node&, Constants*);
  using Rule = absl::optional<Pattern> (Walk::*)(const Node&);
  static ChannelRule ChannelRuleOf(const std::string& op_type);
  static Rule RuleOf(const std::string& op_type);
  absl::optional<Pattern> PatternOf(const Node& node);
  void Keep(const std::string& name, Pattern pattern);

  // Each sets the channels of the node's result that it knows.
  void Convolution(const Node& node, Constants* out);
  void Gemm(const Node& node, Constants* out);
  void Product(const Node& node, Constants* out);
  void Rows(const Node& node, Constants* out);
  void BatchNorm(const Node& node, Constants* out);
  void LayerNorm(const Node& node, Constants* out);
  void AveragePool(const Node& node, Constants* out);
  void Pool(const Node& node, Constants* out);
  void Concat(const Node& node, Constants* out);

  // Each gives the pattern of the node's result; nullopt: nothing is known.
  absl::optional<Pattern> Same(const Node& node);
  absl::optional<Pattern> Unary(const Node& node);
  absl::optional<Pattern> Binary(const Node& node);
  absl::optional<Pattern> Reshape(const Node& node);
  absl::optional<Pattern> Transpose(const Node& node);
  absl::optional<Pattern> MatMul(const Node& node);
  absl::optional<Pattern> Gather(const Node& node);

  const Shape& ShapeOf(const std::string& name) const { return inferred_.values.at(name).shape; }
  const Tensor& WeightOf(const std::string& name) const {
    return graph_.FindInitializer(name)->value;
  }
  // The channels of a value; null where nothing is known of them.
  const Constants* ValueOf(const std::string& name) const {
    const auto found = constants_.find(name);
    return found == constants_.end() ? nullptr : &found->second;
  }
  const Pattern* KnownOf(const std::string& name) const {
    const auto found = patterns_.find(name);
    return found == patterns_.end() ? nullptr : &found->second;
  }
  absl::optional<Pattern> OperandOf(const std::string& name) const;
  absl::optional<Pattern> ByChannel(const Node& node, ChannelRule rule);
  bool IsDistribution(const std::string& name) const;

  const Graph& graph_;
  const InferredGraph& inferred_;
  const ChannelCoupling& coupling_;
  const WeightOperands operands_;
  std::map<std::string, const Node*> makers_;
  std::map<std::string, Pattern> patterns_;
  ConstantChannels constants_;  // Of patterns along the channels alone.
};

Walk::ChannelRule Walk::ChannelRuleOf(const std::string& op_type) {
  static const auto* const kRules = new std::unordered_map<std::string, ChannelRule>{
      {"Conv", &Walk::Convolution},
      {"Gemm", &Walk::Gemm},
      {"BatchNormalization", &Walk::BatchNorm},
      {"LayerNormalization", &Walk::LayerNorm},
      {"AveragePool", &Walk::AveragePool},
      {"Concat", &Walk::Concat},
      {"GlobalAveragePool", &Walk::Pool},
      {"MaxPool", &Walk::Pool},
  };
  const auto found = kRules->find(op_type);
  return found == kRules->end() ? nullptr : found->second;
}

Walk::Rule Walk::RuleOf(const std::string& op_type) {
  static const auto* const kRules = new std::unordered_map<std::string, Rule>{
      {"MatMul", &Walk::MatMul},     {"Gather", &Walk::Gather},       {"Add", &Walk::Binary},
      {"Sub", &Walk::Binary},        {"Mul", &Walk::Binary},          {"Div", &Walk::Binary},
      {"Flatten", &Walk::Reshape},   {"Reshape", &Walk::Reshape},     {"Squeeze", &Walk::Reshape},
      {"Unsqueeze", &Walk::Reshape}, {"Transpose", &Walk::Transpose}, {"Clip", &Walk::Unary},
      {"Erf", &Walk::Unary},         {"Gelu", &Walk::Unary},          {"LeakyRelu", &Walk::Unary},
      {"Relu", &Walk::Unary},        {"Sigmoid", &Walk::Unary},       {"Tanh", &Walk::Unary},
      {"Dropout", &Walk::Same},      {"Identity", &Walk::Same},
  };
  const auto found = kRules->find(op_type);
  return found == kRules->end() ? nullptr : found->second;
}

ConstantChannels Walk::Run() {
  for (const int index : inferred_.live_nodes) {
    const Node& node = graph_.nodes[index];
    makers_[node.output(0)] = &node;
    if (coupling_.ChannelsOf(node.output(0)).empty()) continue;
    absl::optional<Pattern> pattern = PatternOf(node);
    if (pattern.has_value()) Keep(node.output(0), *std::move(pattern));
  }
  return std::move(constants_);
}

absl::optional<Pattern> Walk::PatternOf(const Node& node) {
  if (const ChannelRule rule = ChannelRuleOf(node.op_type)) return ByChannel(node, rule);
  const Rule rule = RuleOf(node.op_type);
  return rule == nullptr ? absl::nullopt : (this->*rule)(node);
}

absl::optional<Pattern> Walk::ByChannel(const Node& node, ChannelRule rule) {
  const std::string& name = node.output(0);
  Constants constants(coupling_.ChannelsOf(name).size());
  (this->*rule)(node, &constants);
  return AlongAxis(ShapeOf(name).rank(), *coupling_.ChannelAxis(name), std::move(constants));
}

void Walk::Keep(const std::string& name, Pattern pattern) {
  bool known = false;
  for (absl::optional<float>& value : pattern.values) {
    if (value.has_value() && !std::isfinite(*value)) value.reset();
    known = known || value.has_value();
  }
  if (!known) return;
  const int axis = *coupling_.ChannelAxis(name);
  if (pattern.shape[axis] == pattern.shape.element_count()) {
    const Shape channels = pattern.shape.WithDim(axis, ShapeOf(name)[axis]);
    constants_[name] = Stretched(pattern, channels);
  }
  patterns_[name] = std::move(pattern);
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
  const auto operand = operands_.Of(node);
  const Tensor& weights = WeightOf(operand->weight);
  const auto channels = static_cast<int64_t>(out->size());
  const bool biased = node.inputs.size() > 2 && !node.input(2).empty();
  const Tensor* bias = biased ? &WeightOf(node.input(2)) : nullptr;
  const int64_t count = biased ? bias->element_count() : 1;
  const bool vector = count == 1 || (count == channels && bias->shape().dims().back() == count);
  if (!vector || (biased && bias->dtype() != DType::kFloat32)) return;
  for (int64_t o = 0; o < channels; ++o) {
    if (!IsZeroSlice(weights, operand->out_axis, o)) continue;
    (*out)[o] = biased ? params.beta * bias->data<float>()[count == 1 ? 0 : o] : 0;
  }
}

void Walk::Product(const Node& node, Constants* out) {
  const auto operand = operands_.Of(node);
  const Tensor& weights = WeightOf(operand->weight);
  for (size_t o = 0; o < out->size(); ++o) {
    if (IsZeroSlice(weights, operand->out_axis, static_cast<int64_t>(o))) (*out)[o] = 0;
  }
}

void Walk::Rows(const Node& node, Constants* out) {
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

// Over the channels alone: what is multiplied by 0 is the bias.
void Walk::LayerNorm(const Node& node, Constants* out) {
  const int last = ShapeOf(node.output(0)).rank() - 1;
  const Initializer* scale = graph_.FindInitializer(node.input(1));
  const bool biased = node.inputs.size() > 2 && !node.input(2).empty();
  const Initializer* bias = biased ? graph_.FindInitializer(node.input(2)) : nullptr;
  if (*coupling_.ChannelAxis(node.output(0)) != last || scale == nullptr) return;
  if (ReadLayerNorm(node, last + 1)->axis != last || (biased && bias == nullptr)) return;
  for (size_t c = 0; c < out->size(); ++c) {
    if (scale->value.data<float>()[c] != 0) continue;
    (*out)[c] = biased ? bias->value.data<float>()[c] : 0;
  }
}

absl::optional<Pattern> Walk::Same(const Node& node) {
  const Pattern* src = KnownOf(node.input(0));
  return src == nullptr ? absl::optional<Pattern>() : *src;
}

absl::optional<Pattern> Walk::Unary(const Node& node) {
  absl::optional<Pattern> pattern = Same(node);
  if (!pattern.has_value()) return pattern;
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
  for (absl::optional<float>& value : pattern->values) {
    if (value.has_value()) value = static_cast<float>(apply(*value));
  }
  return pattern;
}

// Of an operand of an element-wise node.
absl::optional<Pattern> Walk::OperandOf(const std::string& name) const {
  if (const Pattern* known = KnownOf(name)) return *known;
  const Tensor* tensor = ConstantValue(graph_, inferred_, name);
  if (tensor == nullptr || tensor->dtype() != DType::kFloat32 ||
      tensor->element_count() > kMaxElements) {
    return absl::nullopt;
  }
  const absl::Span<const float> values = tensor->span<float>();
  return Pattern{tensor->shape(), Constants(values.begin(), values.end())};
}

absl::optional<Pattern> Walk::Binary(const Node& node) {
  const bool known = KnownOf(node.input(0)) != nullptr || KnownOf(node.input(1)) != nullptr;
  absl::optional<Pattern> a = OperandOf(node.input(0));
  absl::optional<Pattern> b = OperandOf(node.input(1));
  if (!known && node.op_type != "Mul") return absl::nullopt;
  // A product with 0 is 0 whatever the other is.
  const bool one_is_enough = node.op_type == "Mul";
  if (!a.has_value() && one_is_enough) a = Pattern{Shape({1}), {absl::nullopt}};
  if (!b.has_value() && one_is_enough) b = Pattern{Shape({1}), {absl::nullopt}};
  if (!a.has_value() || !b.has_value()) return absl::nullopt;
  const Shape ones(absl::MakeConstSpan(Shape::Dims(ShapeOf(node.output(0)).rank(), 1)));
  Shape shape = BroadcastShapes(BroadcastShapes(a->shape, b->shape).value(), ones).value();
  if (!shape.CheckedElementCount(kMaxElements).ok()) return absl::nullopt;
  Constants left = Stretched(*a, shape);
  const Constants right = Stretched(*b, shape);
  for (size_t i = 0; i < left.size(); ++i) {
    const absl::optional<float> x = left[i], y = right[i];
    const bool zero = (x.has_value() && *x == 0) || (y.has_value() && *y == 0);
    left[i].reset();
    if (node.op_type == "Mul" && zero) {
      left[i] = 0;
    } else if (x.has_value() && y.has_value()) {
      left[i] = node.op_type == "Add"   ? *x + *y
                : node.op_type == "Sub" ? *x - *y
                : node.op_type == "Mul" ? *x * *y
                                        : *x / *y;
    }
  }
  return Pattern{shape, std::move(left)};
}

// Near the edge the zeros of the padding may be counted in.
void Walk::AveragePool(const Node& node, Constants* out) {
  const PoolParams params = ReadPool(node, ShapeOf(node.input(0))).value();
  const auto none = [](const std::vector<int64_t>& pads) {
    return std::all_of(pads.begin(), pads.end(), [](int64_t pad) { return pad == 0; });
  };
  const bool padded = !none(params.window.pads_begin) || !none(params.explicit_pads_end);
  Pool(node, out);
  if (!params.count_include_pad || !padded) return;
  for (absl::optional<float>& constant : *out) {
    if (constant.has_value() && *constant != 0) constant.reset();
  }
}

void Walk::Pool(const Node& node, Constants* out) {
  if (const Constants* src = ValueOf(node.input(0))) *out = *src;
}

// Elements stay in their order: the axes that the pattern varies along become others.
absl::optional<Pattern> Walk::Reshape(const Node& node) {
  const Pattern* src = KnownOf(node.input(0));
  if (src == nullptr) return absl::nullopt;
  const Shape& from = ShapeOf(node.input(0));
  const Shape& to = ShapeOf(node.output(0));
  int begin = *coupling_.ChannelAxis(node.input(0));
  int end = begin + 1;
  for (int axis = 0; axis < from.rank(); ++axis) {
    if (src->shape[axis] == 1) continue;
    begin = std::min(begin, axis);
    end = std::max(end, axis + 1);
  }
  const absl::optional<ReshapedBlock> block = FindReshapedBlock(from, begin, end, to);
  if (!block.has_value()) return absl::nullopt;
  Shape::Dims before(from.rank(), 1), after(to.rank(), 1);
  for (int axis = block->src_begin; axis < block->src_end; ++axis) before[axis] = from[axis];
  for (int axis = block->dst_begin; axis < block->dst_end; ++axis) after[axis] = to[axis];
  const Shape whole(absl::MakeConstSpan(before));
  if (!whole.CheckedElementCount(kMaxElements).ok()) return absl::nullopt;
  return Pattern{Shape(absl::MakeConstSpan(after)), Stretched(*src, whole)};
}

absl::optional<Pattern> Walk::Transpose(const Node& node) {
  const Pattern* src = KnownOf(node.input(0));
  if (src == nullptr) return absl::nullopt;
  const std::vector<int> permutation = ReadPermutation(node, src->shape.rank()).value();
  const Shape::Dims from = src->shape.Strides();
  Shape::Dims dims, strides;
  for (const int axis : permutation) {
    dims.push_back(src->shape[axis]);
    strides.push_back(from[axis]);
  }
  Pattern dst{Shape(absl::MakeConstSpan(dims)), {}};
  const Shape::Dims whole = dst.shape.Strides();
  for (int64_t i = 0; i < dst.shape.element_count(); ++i) {
    int64_t at = 0;
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      at += i / whole[axis] % dims[axis] * strides[axis];
    }
    dst.values.push_back(src->values[at]);
  }
  return dst;
}

// Whether rows along the last axis sum to 1.
bool Walk::IsDistribution(const std::string& name) const {
  auto maker = makers_.find(name);
  while (maker != makers_.end() &&
         (maker->second->op_type == "Dropout" || maker->second->op_type == "Identity")) {
    maker = makers_.find(maker->second->input(0));
  }
  if (maker == makers_.end() || maker->second->op_type != "Softmax") return false;
  const int last = ShapeOf(name).rank() - 1;
  return ReadAxis(*maker->second, last + 1).value_or(-1) == last && ShapeOf(name)[last] > 0;
}

// By a weight, or the mean of rows that are all the same, whatever attention weighs them by.
absl::optional<Pattern> Walk::MatMul(const Node& node) {
  if (operands_.Of(node).has_value()) return ByChannel(node, &Walk::Product);
  const Pattern* rows = KnownOf(node.input(1));
  if (rows == nullptr || !IsDistribution(node.input(0))) return absl::nullopt;
  const int rank = rows->shape.rank();
  if (rank < 2 || rows->shape[rank - 2] != 1) return absl::nullopt;
  Shape::Dims dims(ShapeOf(node.output(0)).rank() - rank, 1);
  dims.insert(dims.end(), rows->shape.dims().begin(), rows->shape.dims().end());
  return Pattern{Shape(absl::MakeConstSpan(dims)), rows->values};
}

// Of a table, or at places of a value.
absl::optional<Pattern> Walk::Gather(const Node& node) {
  if (graph_.FindInitializer(node.input(0)) != nullptr) return ByChannel(node, &Walk::Rows);
  const Pattern* src = KnownOf(node.input(0));
  if (src == nullptr) return absl::nullopt;
  const int axis = ReadAxis(node, src->shape.rank()).value();
  Pattern dst{src->shape.WithDim(axis, 1), src->values};
  if (src->shape[axis] != 1) {
    const Tensor* indices = ConstantValue(graph_, inferred_, node.input(1));
    const auto listed =
        indices == nullptr ? absl::StatusOr<std::vector<int64_t>>() : IntegerValues(*indices);
    if (!listed.ok() || listed->size() != 1) return absl::nullopt;
    const int64_t extent = src->shape[axis];
    const int64_t place = listed->front() < 0 ? listed->front() + extent : listed->front();
    if (place < 0 || place >= extent) return absl::nullopt;
    dst.values.clear();
    const int64_t inner = src->shape.Strides()[axis];
    for (int64_t at = 0; at < src->shape.element_count(); ++at) {
      if (at / inner % extent == place) dst.values.push_back(src->values[at]);
    }
  }
  Shape::Dims dims(src->shape.dims().begin(), src->shape.dims().begin() + axis);
  dims.resize(dims.size() + ShapeOf(node.input(1)).rank(), 1);
  dims.insert(dims.end(), src->shape.dims().begin() + axis + 1, src->shape.dims().end());
  dst.shape = Shape(absl::MakeConstSpan(dims));
  return dst;
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
