#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/data/npy.h"
#include "worker/data/readers.h"
#include "worker/data/zip_reader.h"

namespace topiary {
namespace {

constexpr absl::string_view kSuffix = ".npy";

// The arrays of one open .npz file.
class NpzFile {
 public:
  NpzFile(std::string path, absl::string_view bytes, const ReadLimits& limits)
      : path_(std::move(path)), bytes_(bytes), limits_(limits), left_(limits.max_bytes) {}

  absl::Status Open() {
    absl::StatusOr<std::vector<ZipEntry>> entries = ListZip(bytes_);
    if (!entries.ok()) return In("", entries.status());
    entries_ = *std::move(entries);
    return absl::OkStatus();
  }

  std::vector<std::string> ArrayNames() const {
    std::vector<std::string> names;
    for (const ZipEntry& entry : entries_) {
      if (absl::EndsWith(entry.name, kSuffix)) {
        names.emplace_back(absl::StripSuffix(entry.name, kSuffix));
      }
    }
    return names;
  }

  // float32, or int64 where `integers` and the array has integers.
  absl::StatusOr<Tensor> Read(const std::string& array, bool integers) {
    const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const ZipEntry& e) {
      return e.name == absl::StrCat(array, kSuffix);
    });
    if (entry == entries_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": there is no array '", array,
                       "'; there are: ", absl::StrJoin(ArrayNames(), ", ")));
    }
    absl::StatusOr<Tensor> tensor = Decode(*entry, integers);
    if (!tensor.ok()) return In(array, tensor.status());
    return tensor;
  }

 private:
  absl::Status In(const std::string& array, const absl::Status& status) const {
    const std::string where = array.empty() ? path_ : absl::StrCat(path_, ": array '", array, "'");
    return absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
  }

  absl::StatusOr<Tensor> Decode(const ZipEntry& entry, bool integers) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     ReadZipEntry(bytes_, entry, static_cast<uint64_t>(limits_.max_bytes)));
    ASSIGN_OR_RETURN(const NpyArray array, ParseNpy(bytes));
    if (array.shape.rank() == 0) return absl::InvalidArgumentError("it is a scalar; no rows");
    const DType dtype = integers && !array.is_float() ? DType::kInt64 : DType::kFloat32;
    const int64_t taken = TensorBytes(array, dtype);
    if (taken > left_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the arrays take more than ", limits_.max_bytes, " bytes"));
    }
    left_ -= taken;
    return ToTensor(array, dtype);
  }

  const std::string path_;
  const absl::string_view bytes_;
  const ReadLimits limits_;
  int64_t left_;
  std::vector<ZipEntry> entries_;
};

}  // namespace

absl::StatusOr<Dataset> ReadNpz(const NpzSource& source, const ReadLimits& limits) {
  ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::Open(source.path));
  NpzFile file(source.path, mapped.bytes(), limits);
  RETURN_IF_ERROR(file.Open());
  std::vector<NpzSource::Input> inputs = source.inputs;
  if (inputs.empty()) {
    for (const std::string& name : file.ArrayNames()) {
      if (name != source.labels) inputs.push_back({name, name});
    }
  }
  if (inputs.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(source.path, ": there is no array of features"));
  }
  Dataset dataset;
  for (const NpzSource::Input& input : inputs) {
    ASSIGN_OR_RETURN(Tensor values, file.Read(input.array, input.as_ids));
    dataset.inputs.push_back({input.input, std::move(values),
                              absl::StrCat("array '", input.array, "' of ", source.path)});
  }
  if (!source.labels.empty()) {
    ASSIGN_OR_RETURN(Tensor labels, file.Read(source.labels, /*integers=*/true));
    dataset.labels = {source.labels, std::move(labels),
                      absl::StrCat("array '", source.labels, "' of ", source.path)};
  }
  return dataset;
}

}  // namespace topiary
