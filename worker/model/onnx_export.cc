#include "worker/model/onnx_export.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/model/graph_check.h"
#include "worker/model/inference_form.h"
#include "worker/model/onnx_import.h"

namespace topiary {
namespace {

// The oldest IR version that goes with opset 13, the oldest opset there is here.
constexpr int64_t kOldestIrVersion = 7;

int OnnxDataType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return onnx::TensorProto::FLOAT;
    case DType::kFloat64:
      return onnx::TensorProto::DOUBLE;
    case DType::kInt64:
      return onnx::TensorProto::INT64;
    case DType::kInt32:
      return onnx::TensorProto::INT32;
    case DType::kUint8:
      return onnx::TensorProto::UINT8;
    case DType::kInt8:
      return onnx::TensorProto::INT8;
    case DType::kBool:
      return onnx::TensorProto::BOOL;
    case DType::kFloat16:
      return onnx::TensorProto::FLOAT16;
    case DType::kBFloat16:
      return onnx::TensorProto::BFLOAT16;
  }
  return onnx::TensorProto::UNDEFINED;
}

template <typename Proto>
void SetDoc(const std::string& doc, Proto& proto) {
  if (!doc.empty()) proto.set_doc_string(doc);
}

void WriteTensor(const Tensor& tensor, onnx::TensorProto& proto) {
  for (int64_t d : tensor.shape().dims()) proto.add_dims(d);
  proto.set_data_type(OnnxDataType(tensor.dtype()));
  proto.set_raw_data(tensor.raw_data(), tensor.byte_size());
}

// Writes the alternative that an attribute holds.
struct AttributeWriter {
  onnx::AttributeProto& proto;

  void operator()(int64_t v) const {
    proto.set_type(onnx::AttributeProto::INT);
    proto.set_i(v);
  }
  void operator()(float v) const {
    proto.set_type(onnx::AttributeProto::FLOAT);
    proto.set_f(v);
  }
  void operator()(const std::string& v) const {
    proto.set_type(onnx::AttributeProto::STRING);
    proto.set_s(v);
  }
  void operator()(const std::vector<int64_t>& list) const {
    proto.set_type(onnx::AttributeProto::INTS);
    for (int64_t v : list) proto.add_ints(v);
  }
  void operator()(const std::vector<float>& list) const {
    proto.set_type(onnx::AttributeProto::FLOATS);
    for (float v : list) proto.add_floats(v);
  }
  void operator()(const std::vector<std::string>& list) const {
    proto.set_type(onnx::AttributeProto::STRINGS);
    for (const std::string& v : list) proto.add_strings(v);
  }
  void operator()(const std::shared_ptr<const Tensor>& tensor) const {
    proto.set_type(onnx::AttributeProto::TENSOR);
    WriteTensor(*tensor, *proto.mutable_t());
  }
};

void WriteNode(const Node& node, onnx::NodeProto& proto) {
  for (const std::string& name : node.inputs) proto.add_input(name);
  for (const std::string& name : node.outputs) proto.add_output(name);
  if (!node.name.empty()) proto.set_name(node.name);
  proto.set_op_type(node.op_type);
  if (!node.domain.empty()) proto.set_domain(node.domain);
  SetDoc(node.doc, proto);
  for (const Attribute& attribute : node.attributes) {
    onnx::AttributeProto& out = *proto.add_attribute();
    out.set_name(attribute.name);
    std::visit(AttributeWriter{out}, attribute.value);
  }
}

void WriteValue(const ValueInfo& value, onnx::ValueInfoProto& proto) {
  proto.set_name(value.name);
  SetDoc(value.doc, proto);
  onnx::TypeProto::Tensor& type = *proto.mutable_type()->mutable_tensor_type();
  type.set_elem_type(OnnxDataType(value.dtype));
  if (!value.has_shape) return;
  onnx::TensorShapeProto& shape = *type.mutable_shape();
  for (const Dimension& dimension : value.dims) {
    auto& dim = *shape.add_dim();
    if (dimension.fixed()) {
      dim.set_dim_value(dimension.extent);
    } else if (!dimension.symbol.empty()) {
      dim.set_dim_param(dimension.symbol);
    }
  }
}

void WriteInitializer(const Initializer& initializer, onnx::TensorProto& proto) {
  WriteTensor(initializer.value, proto);
  proto.set_name(initializer.name);
  SetDoc(initializer.doc, proto);
}

void WriteGraph(const Graph& graph, onnx::GraphProto& proto) {
  for (const Node& node : graph.nodes) WriteNode(node, *proto.add_node());
  proto.set_name(graph.name.empty() ? "graph" : graph.name);  // ONNX wants a name.
  for (const Initializer& initializer : graph.initializers) {
    WriteInitializer(initializer, *proto.add_initializer());
  }
  SetDoc(graph.doc, proto);
  for (const ValueInfo& value : graph.inputs) WriteValue(value, *proto.add_input());
  for (const ValueInfo& value : graph.outputs) WriteValue(value, *proto.add_output());
  for (const ValueInfo& value : graph.value_infos) WriteValue(value, *proto.add_value_info());
}

void WriteModel(const Graph& graph, onnx::ModelProto& model) {
  model.set_ir_version(std::max(graph.ir_version, kOldestIrVersion));
  model.add_opset_import()->set_version(graph.opset);
  model.mutable_opset_import(0)->set_domain("");
  if (!graph.producer_name.empty()) model.set_producer_name(graph.producer_name);
  if (!graph.producer_version.empty()) model.set_producer_version(graph.producer_version);
  if (!graph.model_domain.empty()) model.set_domain(graph.model_domain);
  if (graph.model_version != 0) model.set_model_version(graph.model_version);
  SetDoc(graph.model_doc, model);
  for (const auto& [key, value] : graph.metadata) {
    onnx::StringStringEntryProto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  WriteGraph(graph, *model.mutable_graph());
}

absl::Status CheckWritten(const std::string& path, const std::string& bytes) {
  const absl::StatusOr<Graph> read = ImportOnnx(path);
  if (!read.ok()) {
    return absl::InternalError(
        absl::StrCat("the exported model cannot be read back: ", read.status().message()));
  }
  const absl::StatusOr<std::string> again = SerializeOnnx(*read);
  if (!again.ok() || *again != bytes) {
    return absl::InternalError(
        absl::StrCat("the exported model ", path, " read back is not the model written"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SerializeOnnx(const Graph& graph) {
  uint64_t weight_bytes = 0;
  for (const Initializer& initializer : graph.initializers) {
    weight_bytes += initializer.value.byte_size();
  }
  onnx::ModelProto model;
  if (weight_bytes <= INT32_MAX) WriteModel(graph, model);
  if (weight_bytes > INT32_MAX || model.ByteSizeLong() > INT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("a model with ", weight_bytes,
                     " bytes of weights does not fit in one ONNX file, which ends at 2 GiB"));
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream stream(&sink);
    stream.SetSerializationDeterministic(true);
    if (!model.SerializeToCodedStream(&stream)) {
      return absl::InternalError("the model cannot be serialized");
    }
  }
  return bytes;
}

int64_t OnnxBytes(const Graph& graph) {
  // Of a message that is a field of another, whose tag has one byte.
  const auto field_bytes = [](uint64_t bytes) {
    return 1 + google::protobuf::io::CodedOutputStream::VarintSize64(bytes) + bytes;
  };
  onnx::ModelProto model;
  WriteModel(graph.CloneWithoutInitializers(), model);
  const uint64_t without = model.graph().ByteSizeLong();
  uint64_t whole = without;
  for (const Initializer& initializer : graph.initializers) {
    onnx::TensorProto tensor;
    WriteInitializer(initializer, tensor);
    whole += field_bytes(tensor.ByteSizeLong());
  }
  const uint64_t around = model.ByteSizeLong() - field_bytes(without);
  return static_cast<int64_t>(around + field_bytes(whole));
}

absl::Status ExportOnnx(const Graph& graph, const std::string& path) {
  RETURN_IF_ERROR(CheckGraph(graph));
  std::string bytes;
  {
    ASSIGN_OR_RETURN(const Graph inference, InferenceForm(graph));
    ASSIGN_OR_RETURN(bytes, SerializeOnnx(inference));
  }
  RETURN_IF_ERROR(WriteFileAtomically(path, bytes));
  return CheckWritten(path, bytes);
}

}  // namespace topiary
