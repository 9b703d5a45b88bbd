#include "client/model_files.h"

#include <filesystem>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "onnx/onnx_pb.h"

namespace topiary {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxOnnxBytes = (uint64_t{1} << 31) - 1;  // Protobuf's limit.
constexpr size_t kMaxExternalFiles = 63;
constexpr size_t kMaxPathBytes = 255;
constexpr int kMaxDepth = 32;  // Of subgraphs in subgraphs.

// Location -> a tensor that names it.
using Locations = std::map<std::string, std::string>;

void AddTensor(const onnx::TensorProto& tensor, Locations* locations) {
  if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return;
  std::string location;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
  }
  locations->emplace(location, tensor.name());
}

absl::Status AddGraph(const onnx::GraphProto& graph, int depth, Locations* locations);

absl::Status AddNode(const onnx::NodeProto& node, int depth, Locations* locations) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.has_t()) AddTensor(attribute.t(), locations);
    for (const onnx::TensorProto& tensor : attribute.tensors()) AddTensor(tensor, locations);
    if (attribute.has_g()) RETURN_IF_ERROR(AddGraph(attribute.g(), depth + 1, locations));
    for (const onnx::GraphProto& graph : attribute.graphs()) {
      RETURN_IF_ERROR(AddGraph(graph, depth + 1, locations));
    }
  }
  return absl::OkStatus();
}

absl::Status AddGraph(const onnx::GraphProto& graph, int depth, Locations* locations) {
  if (depth > kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat("graphs are nested deeper than ", kMaxDepth));
  }
  for (const onnx::TensorProto& tensor : graph.initializer()) AddTensor(tensor, locations);
  for (const onnx::SparseTensorProto& tensor : graph.sparse_initializer()) {
    AddTensor(tensor.values(), locations);
    AddTensor(tensor.indices(), locations);
  }
  for (const onnx::NodeProto& node : graph.node()) {
    RETURN_IF_ERROR(AddNode(node, depth, locations));
  }
  return absl::OkStatus();
}

// "weights.bin", "parts/0.bin": relative, and of parts that go down only.
bool StaysInFolder(const std::string& location) {
  if (location.empty() || location.size() > kMaxPathBytes) return false;
  for (const unsigned char c : location) {
    if (c == '\\' || c < 0x20 || c == 0x7F) return false;
  }
  for (const absl::string_view part : absl::StrSplit(location, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// Follows links: the file must truly lie in `folder`.
absl::StatusOr<LocalModelFile> Locate(const fs::path& folder, const std::string& location) {
  if (!StaysInFolder(location)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", location, "\" is not a path inside the model's folder"));
  }
  const fs::path path = folder / location;
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return absl::NotFoundError(absl::StrCat("there is no file ", path.string()));
  const fs::path real_folder = fs::canonical(folder, error);
  if (error) return absl::NotFoundError(absl::StrCat("there is no folder ", folder.string()));
  const std::string inside = real.lexically_relative(real_folder).string();
  if (!StaysInFolder(inside)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), " is a link that leads out of the model's folder"));
  }
  if (!fs::is_regular_file(real, error)) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), " is not an ordinary file"));
  }
  return LocalModelFile{path.string(), location, false};
}

absl::StatusOr<Locations> ExternalLocations(const std::string& onnx_path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(onnx_path));
  const absl::string_view bytes = file.bytes();
  onnx::ModelProto model;
  if (bytes.empty() || bytes.size() > kMaxOnnxBytes ||
      !model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !model.has_graph()) {
    return absl::InvalidArgumentError(
        absl::StrCat(onnx_path, " is not an ONNX model (or is cut off)"));
  }
  Locations locations;
  RETURN_IF_ERROR(AddGraph(model.graph(), 0, &locations));
  for (const onnx::FunctionProto& function : model.functions()) {
    for (const onnx::NodeProto& node : function.node()) {
      RETURN_IF_ERROR(AddNode(node, 0, &locations));
    }
  }
  return locations;
}

}  // namespace

absl::StatusOr<std::vector<LocalModelFile>> CollectModelFiles(const std::string& model_path) {
  const fs::path main(model_path);
  std::vector<LocalModelFile> files = {{model_path, main.filename().string(), true}};
  if (main.extension() == ".safetensors") {
    RETURN_IF_ERROR(MappedFile::Open(model_path).status());
    return files;
  }
  ASSIGN_OR_RETURN(const Locations locations, ExternalLocations(model_path));
  if (locations.size() > kMaxExternalFiles) {
    return absl::InvalidArgumentError(absl::StrCat(model_path, " names ", locations.size(),
                                                   " external data files; at most ",
                                                   kMaxExternalFiles, " are allowed"));
  }
  const fs::path folder = main.has_parent_path() ? main.parent_path() : fs::path(".");
  for (const auto& [location, tensor] : locations) {
    absl::StatusOr<LocalModelFile> file = Locate(folder, location);
    if (!file.ok()) {
      return absl::Status(file.status().code(),
                          absl::StrCat(model_path, ": external data of tensor \"", tensor,
                                       "\": ", file.status().message()));
    }
    if (file->model_path == files[0].model_path) {
      return absl::InvalidArgumentError(
          absl::StrCat(model_path, ": tensor \"", tensor, "\" names the model itself as its data"));
    }
    files.push_back(*std::move(file));
  }
  return files;
}

}  // namespace topiary
