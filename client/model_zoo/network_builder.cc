#include "client/model_zoo/network_builder.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/random.h"
#include "onnx/onnx_pb.h"

namespace topiary {
namespace {

constexpr int64_t kOpset = 17;
constexpr int64_t kIrVersion = 8;
// More than any architecture here needs, and far below protobuf's 2 GiB.
constexpr int64_t kMaxParameterElements = int64_t{1} << 27;

// Saturates, so that absurd shapes fail the limit above and never overflow.
int64_t ElementCount(absl::Span<const int64_t> shape) {
  int64_t count = 1;
  for (int64_t extent : shape) {
    if (extent > kMaxParameterElements / count) return std::numeric_limits<int64_t>::max();
    count *= extent;
  }
  return count;
}

void AddInts(const std::string& name, absl::Span<const int64_t> values, onnx::NodeProto* node) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INTS);
  for (int64_t value : values) attribute->add_ints(value);
}

void AddInt(const std::string& name, int64_t value, onnx::NodeProto* node) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::INT);
  attribute->set_i(value);
}

void AddFloat(const std::string& name, float value, onnx::NodeProto* node) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::FLOAT);
  attribute->set_f(value);
}

// [batch, sample_shape...] with the batch axis left open.
void Describe(const std::string& name, absl::Span<const int64_t> sample_shape,
              onnx::ValueInfoProto* info) {
  info->set_name(name);
  onnx::TypeProto::Tensor* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape()->add_dim()->set_dim_param("batch");
  for (int64_t extent : sample_shape) type->mutable_shape()->add_dim()->set_dim_value(extent);
}

onnx::TensorProto* AddFloats(const std::string& name, absl::Span<const int64_t> dims,
                             const std::vector<float>& values, onnx::GraphProto* graph) {
  onnx::TensorProto* tensor = graph->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  for (int64_t extent : dims) tensor->add_dims(extent);
  tensor->set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

}  // namespace

struct NetworkBuilder::Model {
  onnx::ModelProto proto;
  NetworkValue input;

  // A node "/layer/Op" whose output is the value "/layer/Op_output_0".
  onnx::NodeProto* AddNode(absl::string_view layer, const std::string& op,
                           const std::vector<std::string>& inputs) {
    onnx::NodeProto* node = proto.mutable_graph()->add_node();
    node->set_name(absl::StrCat("/", layer, "/", op));
    node->set_op_type(op);
    for (const std::string& input : inputs) node->add_input(input);
    node->add_output(absl::StrCat(node->name(), "_output_0"));
    return node;
  }
};

NetworkBuilder::NetworkBuilder(absl::string_view name, absl::Span<const int64_t> sample_shape,
                               uint64_t seed)
    : model_(std::make_unique<Model>()), seed_(seed) {
  onnx::ModelProto& proto = model_->proto;
  proto.set_ir_version(kIrVersion);
  proto.set_producer_name("topiary");
  onnx::OperatorSetIdProto* opset = proto.add_opset_import();
  opset->set_domain("");
  opset->set_version(kOpset);
  proto.mutable_graph()->set_name(std::string(name));
  model_->input = {"input", {sample_shape.begin(), sample_shape.end()}};
  bool positive = !sample_shape.empty();
  for (int64_t extent : sample_shape) positive = positive && extent > 0;
  Expect(positive && ElementCount(sample_shape) <= kMaxParameterElements, "input", model_->input,
         "positive extents of a sensible size");
  Describe("input", sample_shape, proto.mutable_graph()->add_input());
}

NetworkBuilder::~NetworkBuilder() = default;

NetworkValue NetworkBuilder::Input() const { return model_->input; }

bool NetworkBuilder::Expect(bool condition, absl::string_view layer, const NetworkValue& src,
                            absl::string_view wanted) {
  if (status_.ok() && !condition) {
    status_ = absl::InvalidArgumentError(absl::StrCat("layer ", layer, " needs ", wanted,
                                                      " and its input is [",
                                                      absl::StrJoin(src.shape, ", "), "]"));
  }
  return status_.ok();
}

void NetworkBuilder::AddWeight(const std::string& name, const std::vector<int64_t>& dims,
                               double deviation) {
  std::vector<float> values(ElementCount(dims));
  Random random(seed_, kStreamInitialWeights | (parameters_++ << 32), 0);
  for (float& value : values) value = static_cast<float>(deviation * random.Normal());
  AddFloats(name, dims, values, model_->proto.mutable_graph());
}

void NetworkBuilder::AddConstantParameter(const std::string& name, int64_t size, float value) {
  ++parameters_;
  AddFloats(name, {size}, std::vector<float>(size, value), model_->proto.mutable_graph());
}

NetworkValue NetworkBuilder::Convolution(absl::string_view layer, const NetworkValue& src,
                                         const ConvolutionShape& conv) {
  if (!Expect(src.shape.size() == 3, layer, src, "an image [channels, height, width]")) return {};
  const int64_t channels = src.shape[0];
  const std::vector<int64_t> dims = {conv.out_channels, channels, conv.kernel, conv.kernel};
  const int64_t height = (src.shape[1] + 2 * conv.pad - conv.kernel) / conv.stride + 1;
  const int64_t width = (src.shape[2] + 2 * conv.pad - conv.kernel) / conv.stride + 1;
  const bool fits =
      src.shape[1] + 2 * conv.pad >= conv.kernel && src.shape[2] + 2 * conv.pad >= conv.kernel;
  if (!Expect(fits, layer, src, absl::StrCat("at least ", conv.kernel, " rows and columns")) ||
      !Expect(ElementCount(dims) <= kMaxParameterElements, layer, src, "fewer channels")) {
    return {};
  }
  std::vector<std::string> inputs = {src.name, absl::StrCat(layer, ".weight")};
  AddWeight(inputs[1], dims, std::sqrt(2.0 / (channels * conv.kernel * conv.kernel)));
  if (conv.bias) {
    inputs.push_back(absl::StrCat(layer, ".bias"));
    AddConstantParameter(inputs[2], conv.out_channels, 0.0f);
  }
  onnx::NodeProto* node = model_->AddNode(layer, "Conv", inputs);
  AddInts("dilations", {1, 1}, node);
  AddInt("group", 1, node);
  AddInts("kernel_shape", {conv.kernel, conv.kernel}, node);
  AddInts("pads", {conv.pad, conv.pad, conv.pad, conv.pad}, node);
  AddInts("strides", {conv.stride, conv.stride}, node);
  return {node->output(0), {conv.out_channels, height, width}};
}

NetworkValue NetworkBuilder::BatchNorm(absl::string_view layer, const NetworkValue& src) {
  if (!Expect(!src.shape.empty(), layer, src, "channels")) return {};
  std::vector<std::string> inputs = {src.name};
  for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
    inputs.push_back(absl::StrCat(layer, ".", part));
    const bool one = std::strcmp(part, "weight") == 0 || std::strcmp(part, "running_var") == 0;
    AddConstantParameter(inputs.back(), src.shape[0], one ? 1.0f : 0.0f);
  }
  onnx::NodeProto* node = model_->AddNode(layer, "BatchNormalization", inputs);
  AddFloat("epsilon", 1e-5f, node);
  AddFloat("momentum", 0.9f, node);
  return {node->output(0), src.shape};
}

NetworkValue NetworkBuilder::Relu(absl::string_view layer, const NetworkValue& src) {
  if (!status_.ok()) return {};
  return {model_->AddNode(layer, "Relu", {src.name})->output(0), src.shape};
}

NetworkValue NetworkBuilder::MaxPool(absl::string_view layer, const NetworkValue& src,
                                     int64_t kernel) {
  const bool fits = src.shape.size() == 3 && src.shape[1] >= kernel && src.shape[2] >= kernel;
  if (!Expect(fits, layer, src, absl::StrCat("an image of at least ", kernel, " x ", kernel))) {
    return {};
  }
  onnx::NodeProto* node = model_->AddNode(layer, "MaxPool", {src.name});
  AddInts("kernel_shape", {kernel, kernel}, node);
  AddInts("strides", {kernel, kernel}, node);
  return {node->output(0), {src.shape[0], src.shape[1] / kernel, src.shape[2] / kernel}};
}

NetworkValue NetworkBuilder::GlobalAveragePool(absl::string_view layer, const NetworkValue& src) {
  if (!Expect(src.shape.size() == 3, layer, src, "an image [channels, height, width]")) return {};
  onnx::NodeProto* node = model_->AddNode(layer, "GlobalAveragePool", {src.name});
  return {node->output(0), {src.shape[0], 1, 1}};
}

NetworkValue NetworkBuilder::Flatten(absl::string_view layer, const NetworkValue& src) {
  if (!status_.ok() || src.shape.size() == 1) return src;
  onnx::NodeProto* node = model_->AddNode(layer, "Flatten", {src.name});
  AddInt("axis", 1, node);
  return {node->output(0), {ElementCount(src.shape)}};
}

NetworkValue NetworkBuilder::Linear(absl::string_view layer, const NetworkValue& src,
                                    int64_t out_features) {
  if (!Expect(src.shape.size() == 1, layer, src, "a row of features")) return {};
  const std::vector<int64_t> dims = {out_features, src.shape[0]};
  if (!Expect(ElementCount(dims) <= kMaxParameterElements, layer, src, "fewer features")) {
    return {};
  }
  const std::string weight = absl::StrCat(layer, ".weight");
  const std::string bias = absl::StrCat(layer, ".bias");
  AddWeight(weight, dims, std::sqrt(2.0 / src.shape[0]));
  AddConstantParameter(bias, out_features, 0.0f);
  onnx::NodeProto* node = model_->AddNode(layer, "Gemm", {src.name, weight, bias});
  AddFloat("alpha", 1.0f, node);
  AddFloat("beta", 1.0f, node);
  AddInt("transB", 1, node);
  return {node->output(0), {out_features}};
}

NetworkValue NetworkBuilder::Add(absl::string_view layer, const NetworkValue& a,
                                 const NetworkValue& b) {
  if (!Expect(a.shape == b.shape, layer, a, "two inputs of one shape")) return {};
  return {model_->AddNode(layer, "Add", {a.name, b.name})->output(0), a.shape};
}

absl::StatusOr<std::string> NetworkBuilder::Finish(const NetworkValue& output) {
  if (!status_.ok()) return status_;
  onnx::GraphProto* graph = model_->proto.mutable_graph();
  // The last node is the one that made `output`: its value takes the public name.
  for (onnx::NodeProto& node : *graph->mutable_node()) {
    if (node.output(0) == output.name) node.set_output(0, "output");
  }
  Describe("output", output.shape, graph->add_output());
  std::string bytes;
  if (!model_->proto.SerializeToString(&bytes)) {
    return absl::InvalidArgumentError("the model is larger than an ONNX file may be (2 GiB)");
  }
  return bytes;
}

}  // namespace topiary
