#include "worker/export/block_sparse_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/model/safetensors.h"

namespace topiary {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "topiary-block-sparse";
constexpr char kFormatVersion[] = "1";
constexpr char kManifest[] = "topiary.manifest";

constexpr char kGraph[] = "topiary.graph";

// Whether the file has the initializer beside the graph.
bool IsBesideGraph(const Initializer& initializer) {
  return initializer.value.dtype() == DType::kFloat32;
}

std::string DigestOf(const Tensor& tensor) {
  return Sha256Hex(
      absl::string_view(static_cast<const char*>(tensor.raw_data()), tensor.byte_size()));
}

Json ToJson(const Shape& shape) {
  Json json = Json::array();
  for (const int64_t extent : shape.dims()) json.push_back(extent);
  return json;
}

Json LayerEntry(const std::string& name, const BlockSparseLayout& layout, int64_t live,
                const std::string& digest) {
  return {{"name", name},
          {"dense_shape", ToJson(layout.dense_shape)},
          {"permutation", layout.permutation},
          {"groups", layout.groups},
          {"shape", ToJson(layout.shape())},
          {"padded_shape", ToJson(layout.padded_shape())},
          {"block", {layout.block_rows, layout.block_cols}},
          {"blocks_live", live},
          {"blocks_total", layout.groups * layout.row_blocks() * layout.col_blocks()},
          {"sha256", digest}};
}

const PrunedWeight* FindPruned(absl::Span<const PrunedWeight> pruned, const std::string& name) {
  for (const PrunedWeight& weight : pruned) {
    if (weight.partition->layer().weight == name) return &weight;
  }
  return nullptr;
}

// ---- Reading
// -------------------------------------------------------------------------------------

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("block-sparse model file: ", what));
}

// A list of `what` in the manifest as integers; an error where it is anything else.
absl::StatusOr<std::vector<int64_t>> Integers(const Json& entry, const char* what) {
  const auto found = entry.find(what);
  if (found == entry.end() || !found->is_array() || found->size() > 16) {
    return Malformed(absl::StrCat("'", what, "' is not a short list of integers"));
  }
  std::vector<int64_t> values;
  for (const Json& value : *found) {
    if (!value.is_number_integer()) {
      return Malformed(absl::StrCat("'", what, "' has an entry that is no integer"));
    }
    values.push_back(value.get<int64_t>());
  }
  return values;
}

absl::StatusOr<std::string> Text(const Json& entry, const char* what) {
  const auto found = entry.is_object() ? entry.find(what) : entry.end();
  if (!entry.is_object() || found == entry.end() || !found->is_string()) {
    return Malformed(absl::StrCat("an entry of the manifest has no '", what, "'"));
  }
  return found->get<std::string>();
}

absl::StatusOr<BlockSparseLayout> ReadLayout(const Json& entry) {
  BlockSparseLayout layout;
  ASSIGN_OR_RETURN(const std::vector<int64_t> dense, Integers(entry, "dense_shape"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> permutation, Integers(entry, "permutation"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, Integers(entry, "shape"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> block, Integers(entry, "block"));
  const auto groups = entry.find("groups");
  if (shape.size() != 2 || block.size() != 2 || groups == entry.end() ||
      !groups->is_number_integer() || groups->get<int64_t>() < 1 ||
      shape[0] % groups->get<int64_t>() != 0) {
    return Malformed("'shape', 'block' or 'groups' is malformed");
  }
  layout.dense_shape = Shape(dense);
  for (const int64_t axis : permutation) {
    if (axis < 0 || axis > 15) return Malformed("'permutation' has an axis out of range");
    layout.permutation.push_back(static_cast<int>(axis));
  }
  layout.groups = groups->get<int64_t>();
  layout.rows = shape[0] / layout.groups;
  layout.cols = shape[1];
  layout.block_rows = block[0];
  layout.block_cols = block[1];
  RETURN_IF_ERROR(ValidateLayout(layout));
  return layout;
}

// Takes the tensors of a file out one by one, so that what is left over can be refused.
class TensorPool {
 public:
  explicit TensorPool(SafetensorsFile file) {
    for (auto& [name, tensor] : file.tensors) tensors_.emplace(name, std::move(tensor));
  }
  absl::StatusOr<Tensor> Take(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return Malformed(absl::StrCat("tensor '", name, "' is missing"));
    Tensor tensor = std::move(found->second);
    tensors_.erase(found);
    return tensor;
  }
  absl::Status CheckEmpty() const {
    if (tensors_.empty()) return absl::OkStatus();
    return Malformed(absl::StrCat("tensor '", tensors_.begin()->first, "' is not in the manifest"));
  }

 private:
  std::map<std::string, Tensor> tensors_;
};

absl::StatusOr<Tensor> ReadPruned(const std::string& name, const BlockSparseLayout& layout,
                                  TensorPool* pool) {
  BlockSparseMatrix matrix;
  matrix.layout = layout;
  ASSIGN_OR_RETURN(matrix.values, pool->Take(name + ".values"));
  ASSIGN_OR_RETURN(matrix.crow_indices, pool->Take(name + ".crow_indices"));
  ASSIGN_OR_RETURN(matrix.col_indices, pool->Take(name + ".col_indices"));
  return DecodeBlocks(matrix);
}

// The initializers of a graph that wait for their values.
class EmptyWeights {
 public:
  explicit EmptyWeights(Graph* graph) {
    for (Initializer& initializer : graph->initializers) {
      if (IsBesideGraph(initializer)) empty_.emplace(initializer.name, &initializer);
    }
  }

  // `entry` of the manifest has the digest of `value`.
  absl::Status Fill(const Json& entry, const std::string& name, Tensor value);

  absl::Status CheckNoneIsLeft() const {
    if (empty_.empty()) return absl::OkStatus();
    return Malformed(absl::StrCat("the weight '", empty_.begin()->first,
                                  "' of the graph is not in the manifest"));
  }

 private:
  std::map<std::string, Initializer*> empty_;
};

absl::Status EmptyWeights::Fill(const Json& entry, const std::string& name, Tensor value) {
  ASSIGN_OR_RETURN(const std::string digest, Text(entry, "sha256"));
  if (DigestOf(value) != digest) {
    return absl::DataLossError(
        absl::StrCat("weight '", name, "' does not match its digest: the file is damaged"));
  }
  const auto found = empty_.find(name);
  if (found == empty_.end() || value.dtype() != DType::kFloat32) {
    return Malformed(absl::StrCat("weight '", name,
                                  "' is not float32, occurs twice or is not one of the graph"));
  }
  found->second->value = std::move(value);
  empty_.erase(found);
  return absl::OkStatus();
}

absl::StatusOr<Graph> ReadGraph(const Tensor& bytes) {
  absl::StatusOr<Graph> graph =
      ParseOnnx(absl::string_view(static_cast<const char*>(bytes.raw_data()), bytes.byte_size()));
  if (graph.ok()) return graph;
  return absl::Status(graph.status().code(), absl::StrCat("block-sparse model file: its graph: ",
                                                          graph.status().message()));
}

absl::StatusOr<Json> ReadManifest(const SafetensorsFile& file) {
  const auto format = file.metadata.find("format");
  const auto version = file.metadata.find("format_version");
  const auto manifest = file.metadata.find(kManifest);
  if (format == file.metadata.end() || format->second != kFormat ||
      manifest == file.metadata.end()) {
    return Malformed("the metadata does not say 'topiary-block-sparse', or has no manifest");
  }
  if (version == file.metadata.end() || version->second != kFormatVersion) {
    return absl::UnimplementedError("block-sparse model file: only format_version 1 is known");
  }
  Json json = Json::parse(manifest->second, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("layers") || !json["layers"].is_array() ||
      !json.contains("tensors") || !json["tensors"].is_array()) {
    return Malformed("the manifest is not JSON with 'layers' and 'tensors'");
  }
  return json;
}

// ---- Writing
// -------------------------------------------------------------------------------------

// The graph alone, as the file has it.
absl::StatusOr<Tensor> GraphTensor(const Graph& graph) {
  Graph bare = graph.CloneWithoutInitializers();
  for (const Initializer& initializer : graph.initializers) {
    bare.initializers.push_back({initializer.name,
                                 IsBesideGraph(initializer) ? Tensor() : initializer.value.Clone(),
                                 initializer.doc});
  }
  ASSIGN_OR_RETURN(const std::string bytes, SerializeOnnx(bare));
  return Tensor::FromVector(Shape({static_cast<int64_t>(bytes.size())}),
                            std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

std::map<std::string, std::string> MetadataWith(const Json& manifest) {
  return {{"format", kFormat},
          {"format_version", kFormatVersion},
          {kManifest, manifest.dump(-1, ' ', false, Json::error_handler_t::replace)}};
}

}  // namespace

absl::Status WriteBlockSparseFile(const Graph& graph, absl::Span<const PrunedWeight> pruned,
                                  const std::string& path) {
  SafetensorsFile file;
  Json manifest = {{"layers", Json::array()}, {"tensors", Json::array()}};
  std::set<std::string> names;
  const auto add = [&](const std::string& name, Tensor tensor) -> absl::Status {
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model has a weight '", name, "', a name that the file needs itself"));
    }
    file.tensors.emplace_back(name, std::move(tensor));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(Tensor bare, GraphTensor(graph));
  RETURN_IF_ERROR(add(kGraph, std::move(bare)));
  for (const Initializer& initializer : graph.initializers) {
    if (!IsBesideGraph(initializer)) continue;
    const std::string& name = initializer.name;
    const PrunedWeight* weight = FindPruned(pruned, name);
    if (weight == nullptr) {
      manifest["tensors"].push_back({{"name", name}, {"sha256", DigestOf(initializer.value)}});
      RETURN_IF_ERROR(add(name, initializer.value.Clone()));
      continue;
    }
    ASSIGN_OR_RETURN(BlockSparseMatrix matrix,
                     EncodeBlocks(*weight->partition, weight->support, initializer.value));
    manifest["layers"].push_back(LayerEntry(name, matrix.layout, matrix.col_indices.element_count(),
                                            DigestOf(initializer.value)));
    RETURN_IF_ERROR(add(name + ".values", std::move(matrix.values)));
    RETURN_IF_ERROR(add(name + ".crow_indices", std::move(matrix.crow_indices)));
    RETURN_IF_ERROR(add(name + ".col_indices", std::move(matrix.col_indices)));
  }
  file.metadata = MetadataWith(manifest);
  return WriteSafetensors(file, path);
}

absl::StatusOr<int64_t> BlockSparseFileBytes(const Graph& graph,
                                             absl::Span<const KeptBlockCount> pruned) {
  const std::string digest(64, '0');
  Json manifest = {{"layers", Json::array()}, {"tensors", Json::array()}};
  ASSIGN_OR_RETURN(const Tensor bare, GraphTensor(graph));
  std::vector<SafetensorsEntry> entries = {{kGraph, bare.dtype(), bare.shape()}};
  for (const Initializer& initializer : graph.initializers) {
    if (!IsBesideGraph(initializer)) continue;
    const std::string& name = initializer.name;
    const auto* weight = std::find_if(pruned.begin(), pruned.end(), [&](const auto& candidate) {
      return candidate.partition->layer().weight == name;
    });
    if (weight == pruned.end()) {
      manifest["tensors"].push_back({{"name", name}, {"sha256", digest}});
      entries.push_back({name, initializer.value.dtype(), initializer.value.shape()});
      continue;
    }
    const BlockSparseLayout layout = LayoutOf(*weight->partition);
    manifest["layers"].push_back(LayerEntry(name, layout, weight->live, digest));
    entries.push_back({name + ".values", DType::kFloat32,
                       Shape({weight->live, layout.block_rows, layout.block_cols})});
    entries.push_back(
        {name + ".crow_indices", DType::kInt32, Shape({layout.groups * layout.row_blocks() + 1})});
    entries.push_back({name + ".col_indices", DType::kInt32, Shape({weight->live})});
  }
  return SafetensorsBytes(entries, MetadataWith(manifest));
}

int64_t StoredBytes(const BlockPartition& partition, int64_t live) {
  const BlockSparseLayout layout = LayoutOf(partition);
  return live * layout.block_rows * layout.block_cols * int64_t{sizeof(float)} +
         (live + layout.groups * layout.row_blocks() + 1) * int64_t{sizeof(int32_t)};
}

absl::StatusOr<BlockSparseModel> ReadBlockSparseFile(const std::string& path,
                                                     int64_t max_dense_bytes) {
  ASSIGN_OR_RETURN(SafetensorsFile file, ReadSafetensors(path));
  ASSIGN_OR_RETURN(const Json manifest, ReadManifest(file));
  TensorPool pool(std::move(file));
  BlockSparseModel model;
  ASSIGN_OR_RETURN(const Tensor bare, pool.Take(kGraph));
  ASSIGN_OR_RETURN(model.graph, ReadGraph(bare));
  EmptyWeights weights(&model.graph);
  int64_t left = max_dense_bytes;
  for (const Json& entry : manifest["layers"]) {
    ASSIGN_OR_RETURN(const std::string name, Text(entry, "name"));
    ASSIGN_OR_RETURN(const BlockSparseLayout layout, ReadLayout(entry));
    left -= layout.dense_shape.element_count() * int64_t{sizeof(float)};
    if (left < 0) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the dense weights would take more than ", max_dense_bytes, " bytes (at '", name, "')"));
    }
    ASSIGN_OR_RETURN(Tensor tensor, ReadPruned(name, layout, &pool));
    RETURN_IF_ERROR(weights.Fill(entry, name, std::move(tensor)));
    model.layouts.emplace(name, layout);
  }
  for (const Json& entry : manifest["tensors"]) {
    ASSIGN_OR_RETURN(const std::string name, Text(entry, "name"));
    ASSIGN_OR_RETURN(Tensor tensor, pool.Take(name));
    RETURN_IF_ERROR(weights.Fill(entry, name, std::move(tensor)));
  }
  RETURN_IF_ERROR(weights.CheckNoneIsLeft());
  RETURN_IF_ERROR(pool.CheckEmpty());
  return model;
}

}  // namespace topiary
