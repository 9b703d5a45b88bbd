#include "worker/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/utf8.h"

namespace topiary {
namespace {

using Json = nlohmann::json;

constexpr char kMetadata[] = "__metadata__";
constexpr size_t kLengthBytes = 8;
constexpr int kMaxJsonDepth = 4;  // The header, an entry, its lists, their numbers.

struct TypeName {
  DType dtype;
  absl::string_view name;
};
constexpr TypeName kTypes[] = {
    {DType::kFloat32, "F32"},
    {DType::kInt32, "I32"},
    {DType::kInt64, "I64"},
    {DType::kUint8, "U8"},
};

const TypeName* FindType(DType dtype) {
  for (const TypeName& type : kTypes) {
    if (type.dtype == dtype) return &type;
  }
  return nullptr;
}

const TypeName* FindType(absl::string_view name) {
  for (const TypeName& type : kTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

absl::Status Malformed(const std::string& name, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("safetensors: tensor '", name, "' ", why));
}

bool IsName(absl::string_view name) {
  return !name.empty() && name != kMetadata && IsPrintableUtf8(name);
}

int64_t BytesOf(DType dtype, const Shape& shape) {
  return shape.element_count() * static_cast<int64_t>(SizeOf(dtype));
}

// The header, with entries in the order of the tensors' bytes: nlohmann's ordered_json keeps it.
absl::StatusOr<std::string> MakeHeader(absl::Span<const SafetensorsEntry> tensors,
                                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    for (const auto& [key, value] : metadata) {
      if (!IsPrintableUtf8(key)) {
        return absl::InvalidArgumentError("safetensors: a metadata key is not UTF-8");
      }
      header[kMetadata][key] = value;
    }
  }
  std::set<std::string> seen;
  uint64_t offset = 0;
  for (const auto& [name, dtype, shape] : tensors) {
    if (!IsName(name) || !seen.insert(name).second) {
      return Malformed(name, "has a name that is repeated or not allowed");
    }
    const TypeName* type = FindType(dtype);
    if (type == nullptr) {
      return Malformed(name, absl::StrCat("is ", DTypeName(dtype),
                                          "; only float32, int32, int64 and uint8 are written"));
    }
    const uint64_t end = offset + static_cast<uint64_t>(BytesOf(dtype, shape));
    const auto& dims = shape.dims();
    header[name]["dtype"] = std::string(type->name);
    header[name]["shape"] = std::vector<int64_t>(dims.begin(), dims.end());
    header[name]["data_offsets"] = {offset, end};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  return text;
}

// Counts nesting as nlohmann's parser meets it, so that "[[[[..." cannot exhaust the stack, and
// refuses a key that an object already has, which a parser would silently replace.
class HeaderGuard {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxJsonDepth) too_deep_ = true;
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end && !keys_.empty()) keys_.pop_back();
    if (event == Event::key && !keys_.empty() &&
        !keys_.back().insert(parsed.get<std::string>()).second) {
      repeated_ = true;
    }
    return !too_deep_;
  }
  bool too_deep() const { return too_deep_; }
  bool repeated() const { return repeated_; }

 private:
  bool too_deep_ = false;
  bool repeated_ = false;
  std::vector<std::set<std::string>> keys_;
};

absl::StatusOr<Json> ParseHeader(absl::string_view text) {
  HeaderGuard guard;
  Json header = Json::parse(
      text.begin(), text.end(),
      [&guard](int depth, Json::parse_event_t event, Json& parsed) {
        return guard(depth, event, parsed);
      },
      /*allow_exceptions=*/false);
  if (guard.repeated()) return absl::InvalidArgumentError("safetensors: a name is given twice");
  if (header.is_discarded() || guard.too_deep() || !header.is_object()) {
    return absl::InvalidArgumentError(
        "safetensors: the header is not the JSON object it should be");
  }
  return header;
}

// Where one tensor lies, checked against its own shape.
struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin;
  uint64_t end;
};

absl::StatusOr<std::vector<int64_t>> NumberList(const std::string& name, const Json& entry,
                                                const char* key, size_t max_count) {
  const auto it = entry.find(key);
  if (it == entry.end() || !it->is_array() || it->size() > max_count) {
    return Malformed(name,
                     absl::StrCat("has no list '", key, "' of up to ", max_count, " numbers"));
  }
  std::vector<int64_t> list;
  for (const Json& number : *it) {
    if (!number.is_number_unsigned() || number.get<uint64_t>() > INT64_MAX) {
      return Malformed(name, absl::StrCat("has something else than a number >= 0 in '", key, "'"));
    }
    list.push_back(static_cast<int64_t>(number.get<uint64_t>()));
  }
  return list;
}

absl::StatusOr<Entry> ReadEntry(const std::string& name, const Json& json,
                                const SafetensorsLimits& limits) {
  if (!IsName(name)) return Malformed(name, "has a name that is not allowed");
  if (!json.is_object()) return Malformed(name, "is not described by an object");
  const auto dtype = json.find("dtype");
  if (dtype == json.end() || !dtype->is_string()) return Malformed(name, "has no dtype");
  const TypeName* type = FindType(dtype->get_ref<const std::string&>());
  if (type == nullptr) {
    return absl::UnimplementedError(absl::StrCat("safetensors: tensor '", name, "' is ",
                                                 dtype->get<std::string>(),
                                                 "; supported are F32, I32, I64 and U8"));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> dims,
                   NumberList(name, json, "shape", static_cast<size_t>(limits.max_rank)));
  ASSIGN_OR_RETURN(const std::vector<int64_t> range, NumberList(name, json, "data_offsets", 2));
  if (range.size() != 2 || range[0] > range[1]) {
    return Malformed(name, "has data_offsets that are no range");
  }
  const Shape shape{absl::MakeConstSpan(dims)};
  const absl::StatusOr<int64_t> count = shape.CheckedElementCount(limits.max_file_bytes);
  const int64_t size = static_cast<int64_t>(SizeOf(type->dtype));
  if (!count.ok() || *count > INT64_MAX / size || *count * size != range[1] - range[0]) {
    return Malformed(name, absl::StrCat("of shape ", shape.ToString(), " does not have ",
                                        range[1] - range[0], " bytes"));
  }
  return Entry{name, type->dtype, shape, static_cast<uint64_t>(range[0]),
               static_cast<uint64_t>(range[1])};
}

absl::Status ReadMetadata(const Json& json, SafetensorsFile& file) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError("safetensors: the metadata is no object");
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("safetensors: the metadata '", key, "' is no string"));
    }
    file.metadata[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

// Entries sorted by place, which follow one another without gap or overlap up to the end.
absl::Status CheckPlaces(const std::vector<Entry>& entries, uint64_t data_bytes) {
  uint64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected) {
      return Malformed(entry.name,
                       absl::StrCat("starts at byte ", entry.begin,
                                    entry.begin < expected ? ", inside another" : ", after a gap",
                                    " (expected ", expected, ")"));
    }
    expected = entry.end;
  }
  if (expected == data_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("safetensors: the tensors take ", expected,
                                                 " bytes, but the file has ", data_bytes));
}

absl::StatusOr<std::vector<Entry>> ReadEntries(const Json& header, const SafetensorsLimits& limits,
                                               SafetensorsFile& file) {
  if (header.size() > static_cast<size_t>(limits.max_tensors)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "safetensors: ", header.size(), " tensors; at most ", limits.max_tensors, " are allowed"));
  }
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadata) {
      RETURN_IF_ERROR(ReadMetadata(json, file));
      continue;
    }
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(name, json, limits));
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  return entries;
}

}  // namespace

const Tensor* SafetensorsFile::Find(absl::string_view name) const {
  for (const auto& [own_name, tensor] : tensors) {
    if (own_name == name) return &tensor;
  }
  return nullptr;
}

absl::StatusOr<int64_t> SafetensorsBytes(absl::Span<const SafetensorsEntry> tensors,
                                         const std::map<std::string, std::string>& metadata) {
  ASSIGN_OR_RETURN(const std::string header, MakeHeader(tensors, metadata));
  auto bytes = static_cast<int64_t>(kLengthBytes + header.size());
  for (const SafetensorsEntry& tensor : tensors) bytes += BytesOf(tensor.dtype, tensor.shape);
  return bytes;
}

absl::Status WriteSafetensors(const SafetensorsFile& file, const std::string& path) {
  std::vector<SafetensorsEntry> entries;
  entries.reserve(file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    entries.push_back({name, tensor.dtype(), tensor.shape()});
  }
  ASSIGN_OR_RETURN(const std::string header, MakeHeader(entries, file.metadata));
  std::string bytes;
  size_t total = kLengthBytes + header.size();
  for (const auto& [name, tensor] : file.tensors) total += tensor.byte_size();
  bytes.reserve(total);
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes.push_back(static_cast<char>(uint64_t{header.size()} >> (8 * i) & 0xFF));
  }
  bytes += header;
  for (const auto& [name, tensor] : file.tensors) {
    bytes.append(static_cast<const char*>(tensor.raw_data()), tensor.byte_size());
  }
  return WriteFileAtomically(path, bytes);
}

absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path,
                                                const SafetensorsLimits& limits) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseSafetensors(file.bytes(), limits);
}

absl::StatusOr<SafetensorsFile> ParseSafetensors(absl::string_view bytes,
                                                 const SafetensorsLimits& limits) {
  if (static_cast<int64_t>(bytes.size()) > limits.max_file_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "safetensors: ", bytes.size(), " bytes; at most ", limits.max_file_bytes, " are allowed"));
  }
  if (bytes.size() < kLengthBytes) {
    return absl::InvalidArgumentError("safetensors: the file is too short for a header");
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  bytes.remove_prefix(kLengthBytes);
  if (length > bytes.size()) {
    return absl::InvalidArgumentError(
        "safetensors: the file ends within its header, or is of another format");
  }
  if (length > static_cast<uint64_t>(limits.max_header_bytes)) {
    return absl::ResourceExhaustedError(absl::StrCat("safetensors: the header has ", length,
                                                     " bytes; at most ", limits.max_header_bytes,
                                                     " are allowed"));
  }
  ASSIGN_OR_RETURN(const Json header, ParseHeader(bytes.substr(0, length)));
  bytes.remove_prefix(length);
  SafetensorsFile file;
  ASSIGN_OR_RETURN(const std::vector<Entry> entries, ReadEntries(header, limits, file));
  RETURN_IF_ERROR(CheckPlaces(entries, bytes.size()));
  for (const Entry& entry : entries) {
    Tensor tensor(entry.dtype, entry.shape);
    std::memcpy(tensor.raw_data(), bytes.data() + entry.begin, tensor.byte_size());
    file.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return file;
}

}  // namespace topiary
