#include "worker/model/onnx_import.h"

#include <google/protobuf/io/coded_stream.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "worker/model/external_data.h"
#include "worker/model/global_means.h"
#include "worker/model/graph_check.h"
#include "worker/model/onnx_scan.h"
#include "worker/model/onnx_tensor.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

absl::Status Prefix(const std::string& label, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(label, ": ", status.message()));
}

bool IsDefaultDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

TensorSource SourceOf(const onnx::TensorProto& proto) {
  TensorSource source;
  source.data_type = proto.data_type();
  source.dims = {proto.dims().data(), static_cast<size_t>(proto.dims_size())};
  source.segmented = proto.has_segment();
  source.has_raw = proto.has_raw_data();
  source.raw = proto.raw_data();
  const auto span = [](const auto& field) {
    return absl::MakeConstSpan(field.data(), static_cast<size_t>(field.size()));
  };
  source.floats = span(proto.float_data());
  source.doubles = span(proto.double_data());
  source.int32s = span(proto.int32_data());
  source.int64s = span(proto.int64_data());
  source.external = proto.data_location() == onnx::TensorProto::EXTERNAL;
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    source.external_entries.emplace_back(entry.key(), entry.value());
  }
  return source;
}

// Turns the messages of one model into a Graph. Used once.
class Importer {
 public:
  Importer(std::optional<std::string> folder, const ImportLimits& limits)
      : limits_(limits),
        external_(std::move(folder)),
        budget_{limits.max_tensor_bytes, limits.max_rank} {}

  // Takes weights out of `model` as it goes, so that they are not held twice.
  absl::StatusOr<Graph> Import(onnx::ModelProto& model) {
    RETURN_IF_ERROR(ReadModel(model));
    onnx::GraphProto& graph = *model.mutable_graph();
    if (graph.sparse_initializer_size() > 0) {
      return absl::UnimplementedError("sparse initializers are not supported; store them dense");
    }
    if (graph.quantization_annotation_size() > 0) {
      return absl::UnimplementedError(
          "quantized models are not supported; upload the float32 model");
    }
    RETURN_IF_ERROR(ReadInitializers(graph));
    RETURN_IF_ERROR(ReadNodes(graph));
    RETURN_IF_ERROR(ReadValues(graph));
    RETURN_IF_ERROR(CheckGraph(result_));
    RETURN_IF_ERROR(SeparateAliases());
    RewriteGlobalMeans(result_);
    return std::move(result_);
  }

 private:
  absl::Status ReadModel(const onnx::ModelProto& model) {
    if (!model.has_graph()) return absl::InvalidArgumentError("it holds no graph");
    if (model.ir_version() < 3 || model.ir_version() > kMaxIrVersion) {
      return absl::UnimplementedError(absl::StrCat("its IR version is ", model.ir_version(),
                                                   "; supported are 3 to ", kMaxIrVersion));
    }
    int64_t opset = 0;
    for (const onnx::OperatorSetIdProto& import : model.opset_import()) {
      if (!IsDefaultDomain(import.domain())) continue;
      if (opset != 0) return absl::InvalidArgumentError("it imports ONNX's operators twice");
      opset = import.version();
    }
    if (opset < kMinOpset || opset > kMaxOpset) {
      return absl::UnimplementedError(
          absl::StrCat("its opset is ", opset, "; supported are ", kMinOpset, " to ", kMaxOpset,
                       " (onnx.version_converter, or the exporter's opset_version, changes it)"));
    }
    if (model.functions_size() > 0) {
      return absl::UnimplementedError(
          absl::StrCat("it defines functions (the first is '", model.functions(0).name(),
                       "'), which are not supported; inline them (onnx.inliner)"));
    }
    if (model.training_info_size() > 0) {
      return absl::UnimplementedError("it holds training_info, which is not supported");
    }
    result_.ir_version = model.ir_version();
    result_.opset = opset;
    result_.producer_name = model.producer_name();
    result_.producer_version = model.producer_version();
    result_.model_domain = model.domain();
    result_.model_version = model.model_version();
    result_.model_doc = model.doc_string();
    for (const onnx::StringStringEntryProto& entry : model.metadata_props()) {
      result_.metadata.emplace_back(entry.key(), entry.value());
    }
    result_.name = model.graph().name();
    result_.doc = model.graph().doc_string();
    return absl::OkStatus();
  }

  absl::Status CheckName(const std::string& name, absl::string_view what) const {
    if (static_cast<int64_t>(name.size()) <= limits_.max_name_bytes && IsPrintableUtf8(name)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "the name of ", what, " is not UTF-8 or longer than ", limits_.max_name_bytes, " bytes"));
  }

  absl::Status ReadInitializers(onnx::GraphProto& graph) {
    for (onnx::TensorProto& proto : *graph.mutable_initializer()) {
      RETURN_IF_ERROR(CheckName(proto.name(), "an initializer"));
      absl::StatusOr<Tensor> tensor = DecodeTensor(SourceOf(proto), external_, budget_);
      if (!tensor.ok()) {
        return Prefix(absl::StrCat("initializer '", proto.name(), "'"), tensor.status());
      }
      result_.initializers.push_back({proto.name(), *std::move(tensor), proto.doc_string()});
      const std::unique_ptr<std::string> freed(proto.release_raw_data());
      proto.clear_float_data();
    }
    return absl::OkStatus();
  }

  absl::Status ReadNodes(const onnx::GraphProto& graph) {
    if (graph.node_size() > limits_.max_nodes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "it has ", graph.node_size(), " nodes; at most ", limits_.max_nodes, " are allowed"));
    }
    for (const onnx::NodeProto& proto : graph.node()) {
      Node node;
      node.name = proto.name();
      node.op_type = proto.op_type();
      node.domain = IsDefaultDomain(proto.domain()) ? "" : proto.domain();
      node.doc = proto.doc_string();
      node.inputs.assign(proto.input().begin(), proto.input().end());
      node.outputs.assign(proto.output().begin(), proto.output().end());
      RETURN_IF_ERROR(CheckNames(node));
      const std::string label = NodeLabel(node, static_cast<int>(result_.nodes.size()));
      for (const onnx::AttributeProto& attribute : proto.attribute()) {
        const absl::Status status = AddAttribute(attribute, node);
        if (!status.ok()) return Prefix(label, status);
      }
      result_.nodes.push_back(std::move(node));
    }
    return absl::OkStatus();
  }

  absl::Status CheckNames(const Node& node) const {
    RETURN_IF_ERROR(CheckName(node.name, "a node"));
    RETURN_IF_ERROR(CheckName(node.op_type, "an operator"));
    RETURN_IF_ERROR(CheckName(node.domain, "an operator's domain"));
    for (const std::string& name : node.inputs) RETURN_IF_ERROR(CheckName(name, "a value"));
    for (const std::string& name : node.outputs) RETURN_IF_ERROR(CheckName(name, "a value"));
    if (node.op_type.empty()) return absl::InvalidArgumentError("a node has no operator");
    return absl::OkStatus();
  }

  absl::Status AddAttribute(const onnx::AttributeProto& proto, Node& node) {
    RETURN_IF_ERROR(CheckName(proto.name(), "an attribute"));
    if (node.FindAttribute(proto.name()) != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute '", proto.name(), "' is given twice"));
    }
    absl::StatusOr<Attribute::Value> value = AttributeValue(proto);
    if (!value.ok()) {
      return Prefix(absl::StrCat("attribute '", proto.name(), "'"), value.status());
    }
    node.attributes.push_back({proto.name(), *std::move(value)});
    return absl::OkStatus();
  }

  absl::StatusOr<Attribute::Value> AttributeValue(const onnx::AttributeProto& proto) {
    switch (proto.type()) {
      case onnx::AttributeProto::INT:
        return int64_t{proto.i()};
      case onnx::AttributeProto::FLOAT:
        return proto.f();
      case onnx::AttributeProto::STRING:
        return proto.s();
      case onnx::AttributeProto::INTS:
        return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
      case onnx::AttributeProto::FLOATS:
        return std::vector<float>(proto.floats().begin(), proto.floats().end());
      case onnx::AttributeProto::STRINGS:
        return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
      case onnx::AttributeProto::TENSOR: {
        ASSIGN_OR_RETURN(Tensor tensor, DecodeTensor(SourceOf(proto.t()), external_, budget_));
        return std::make_shared<const Tensor>(std::move(tensor));
      }
      case onnx::AttributeProto::GRAPH:
      case onnx::AttributeProto::GRAPHS:
        return absl::UnimplementedError("it holds a subgraph; control flow is not supported");
      default:
        return absl::UnimplementedError(
            absl::StrCat("attributes of type ", proto.type(), " are not supported"));
    }
  }

  absl::Status ReadValues(const onnx::GraphProto& graph) {
    std::set<std::string> provided;
    for (const Initializer& initializer : result_.initializers) provided.insert(initializer.name);
    for (const onnx::ValueInfoProto& proto : graph.input()) {
      if (provided.count(proto.name()) > 0) continue;
      ASSIGN_OR_RETURN(ValueInfo value, ReadValue(proto, "graph input"));
      result_.inputs.push_back(std::move(value));
    }
    for (const onnx::ValueInfoProto& proto : graph.output()) {
      ASSIGN_OR_RETURN(ValueInfo value, ReadValue(proto, "graph output"));
      result_.outputs.push_back(std::move(value));
    }
    for (const onnx::ValueInfoProto& proto : graph.value_info()) {
      // Only a note on a value: one that our types cannot say is left out.
      absl::StatusOr<ValueInfo> value = ReadValue(proto, "value");
      if (value.ok()) result_.value_infos.push_back(*std::move(value));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ValueInfo> ReadValue(const onnx::ValueInfoProto& proto, absl::string_view what) {
    RETURN_IF_ERROR(CheckName(proto.name(), what));
    const std::string label = absl::StrCat(what, " '", proto.name(), "'");
    if (!proto.type().has_tensor_type()) {
      return absl::UnimplementedError(absl::StrCat(label, " is no tensor"));
    }
    const onnx::TypeProto::Tensor& type = proto.type().tensor_type();
    const absl::StatusOr<DType> dtype = DTypeFromOnnx(type.elem_type());
    if (!dtype.ok()) return Prefix(label, dtype.status());
    ValueInfo value;
    value.name = proto.name();
    value.dtype = *dtype;
    value.doc = proto.doc_string();
    value.has_shape = type.has_shape();
    if (type.shape().dim_size() > limits_.max_rank) {
      return absl::ResourceExhaustedError(absl::StrCat(label, " has rank ", type.shape().dim_size(),
                                                       "; at most ", limits_.max_rank,
                                                       " is allowed"));
    }
    for (const auto& dim : type.shape().dim()) {
      Dimension dimension;
      if (dim.has_dim_value()) {
        if (dim.dim_value() < 0 || dim.dim_value() > int64_t{1} << 40) {
          return absl::InvalidArgumentError(
              absl::StrCat(label, " has an extent of ", dim.dim_value()));
        }
        dimension.extent = dim.dim_value();
      } else {
        RETURN_IF_ERROR(CheckName(dim.dim_param(), "an extent"));
        dimension.symbol = dim.dim_param();
      }
      value.dims.push_back(std::move(dimension));
    }
    return value;
  }

  // Identity nodes of float32 initializers become initializers; see onnx_import.h.
  absl::Status SeparateAliases() {
    std::unordered_map<std::string, size_t> by_name;
    for (size_t i = 0; i < result_.initializers.size(); ++i) {
      by_name[result_.initializers[i].name] = i;
    }
    std::set<std::string> outputs;
    for (const ValueInfo& output : result_.outputs) outputs.insert(output.name);
    std::vector<Node> kept;
    for (Node& node : result_.nodes) {
      const auto source = by_name.find(node.input(0));
      const bool alias = node.op_type == "Identity" && node.domain.empty() &&
                         node.inputs.size() == 1 && node.outputs.size() == 1 &&
                         source != by_name.end() && outputs.count(node.output(0)) == 0 &&
                         result_.initializers[source->second].value.dtype() == DType::kFloat32;
      if (!alias) {
        kept.push_back(std::move(node));
        continue;
      }
      const Initializer& original = result_.initializers[source->second];
      RETURN_IF_ERROR(budget_.Take(static_cast<int64_t>(original.value.byte_size())));
      Initializer copy = {node.output(0), original.value.Clone(), original.doc};
      by_name[copy.name] = result_.initializers.size();
      result_.initializers.push_back(std::move(copy));
    }
    result_.nodes = std::move(kept);
    return absl::OkStatus();
  }

  const ImportLimits limits_;
  ExternalData external_;
  TensorBudget budget_;
  Graph result_;
};

absl::StatusOr<std::unique_ptr<onnx::ModelProto>> Parse(absl::string_view bytes,
                                                        const ImportLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) > std::min<int64_t>(limits.max_file_bytes, INT32_MAX)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it has ", bytes.size(), " bytes; at most ", limits.max_file_bytes,
                     " are allowed: store large weights as external data beside the model"));
  }
  if (bytes.empty()) return absl::InvalidArgumentError("the file is empty");
  RETURN_IF_ERROR(ScanOnnx(bytes, limits.max_fields, limits.max_structure_bytes).status());
  auto model = std::make_unique<onnx::ModelProto>();
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(64);
  if (!model->MergeFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    return absl::InvalidArgumentError("the bytes are not an ONNX model");
  }
  return model;
}

// `folder`: as of ExternalData.
absl::StatusOr<Graph> ImportBytes(absl::string_view bytes, std::optional<std::string> folder,
                                  const ImportLimits& limits) {
  ASSIGN_OR_RETURN(const std::unique_ptr<onnx::ModelProto> model, Parse(bytes, limits));
  return Importer(std::move(folder), limits).Import(*model);
}

}  // namespace

absl::StatusOr<Graph> ImportOnnx(const std::string& path, const ImportLimits& limits) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  absl::StatusOr<Graph> graph = ImportBytes(file.bytes(), folder, limits);
  if (!graph.ok()) {
    return Prefix(absl::StrCat("model ", path.substr(slash + 1)), graph.status());
  }
  return graph;
}

absl::StatusOr<Graph> ParseOnnx(absl::string_view bytes, const ImportLimits& limits) {
  return ImportBytes(bytes, std::nullopt, limits);
}

}  // namespace topiary
