// The IDX format of MNIST: two zero bytes, a type, a rank, big-endian 32-bit extents, then the
// elements, big-endian and row-major.
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/inflate.h"
#include "worker/data/readers.h"

namespace topiary {
namespace {

constexpr size_t kMaxRank = 8;

struct IdxArray {
  int type = 0;
  int64_t element_bytes = 0;
  Shape shape;
  absl::string_view data;
};

int64_t ElementBytes(int type) {
  switch (type) {
    case 0x08:  // Unsigned byte.
    case 0x09:  // Signed byte.
      return 1;
    case 0x0B:  // 16-bit integer.
      return 2;
    case 0x0C:  // 32-bit integer.
    case 0x0D:  // float
      return 4;
    case 0x0E:  // double
      return 8;
    default:
      return 0;
  }
}

absl::StatusOr<IdxArray> ParseIdx(absl::string_view bytes, const ReadLimits& limits) {
  const auto at = [&bytes](size_t i) { return uint32_t{static_cast<unsigned char>(bytes[i])}; };
  if (bytes.size() < 4 || at(0) != 0 || at(1) != 0) {
    return absl::InvalidArgumentError("it is no IDX file: it does not start with two zero bytes");
  }
  IdxArray array;
  array.type = static_cast<int>(at(2));
  array.element_bytes = ElementBytes(array.type);
  const size_t rank = at(3);
  if (array.element_bytes == 0 || rank == 0 || rank > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is no IDX file: type ", at(2), ", rank ", rank));
  }
  if (bytes.size() < 4 + 4 * rank) {
    return absl::InvalidArgumentError("it is cut short within its header");
  }
  Shape::Dims dims;
  for (size_t i = 4; i < 4 + 4 * rank; i += 4) {
    dims.push_back(at(i) << 24 | at(i + 1) << 16 | at(i + 2) << 8 | at(i + 3));
  }
  array.shape = Shape(absl::MakeConstSpan(dims));
  array.data = bytes.substr(4 + 4 * rank);
  const absl::StatusOr<int64_t> count = array.shape.CheckedElementCount(limits.max_bytes / 4);
  if (!count.ok() || dims[0] > limits.max_rows) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shape ", array.shape.ToString(), " is larger than allowed"));
  }
  if (static_cast<int64_t>(array.data.size()) != *count * array.element_bytes) {
    const int64_t row_bytes = dims[0] == 0 ? 0 : *count / dims[0] * array.element_bytes;
    return absl::InvalidArgumentError(absl::StrCat(
        "shape ", array.shape.ToString(), " needs ", *count * array.element_bytes,
        " bytes, but there are ", array.data.size(),
        row_bytes > 0 ? absl::StrCat(" (", array.data.size() / row_bytes, " whole rows)") : ""));
  }
  return array;
}

// Big-endian element `i` of unsigned type Bits, reread as From.
template <typename From, typename Bits>
From Load(absl::string_view data, int64_t i) {
  Bits bits = 0;
  const char* at = data.data() + i * static_cast<int64_t>(sizeof(Bits));
  for (size_t k = 0; k < sizeof(Bits); ++k) {
    bits = static_cast<Bits>(uint64_t{bits} << 8 | static_cast<unsigned char>(at[k]));
  }
  From value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

template <typename To>
Tensor Convert(const IdxArray& array) {
  Tensor tensor(DTypeOf<To>(), array.shape);
  To* to = tensor.data<To>();
  for (int64_t i = 0; i < tensor.element_count(); ++i) {
    switch (array.type) {
      case 0x08:
        to[i] = static_cast<To>(static_cast<unsigned char>(array.data[i]));
        break;
      case 0x09:  // Signed bytes are numbers here. NOLINTNEXTLINE(bugprone-signed-char-misuse)
        to[i] = static_cast<To>(static_cast<signed char>(array.data[i]));
        break;
      case 0x0B:
        to[i] = static_cast<To>(Load<int16_t, uint16_t>(array.data, i));
        break;
      case 0x0C:
        to[i] = static_cast<To>(Load<int32_t, uint32_t>(array.data, i));
        break;
      case 0x0D:
        to[i] = static_cast<To>(Load<float, uint32_t>(array.data, i));
        break;
      default:
        to[i] = static_cast<To>(Load<double, uint64_t>(array.data, i));
        break;
    }
  }
  return tensor;
}

absl::StatusOr<Tensor> ReadArray(const std::string& path, bool as_labels,
                                 const ReadLimits& limits) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadMaybeGzip(path, limits.max_bytes));
  const absl::StatusOr<IdxArray> array = ParseIdx(bytes, limits);
  if (!array.ok()) {
    return absl::Status(
        array.status().code(),
        absl::StrCat(path, ": ", as_labels ? "labels" : "images", ": ", array.status().message()));
  }
  const bool is_float = array->type >= 0x0D;
  return as_labels && !is_float ? Convert<int64_t>(*array) : Convert<float>(*array);
}

}  // namespace

absl::StatusOr<Dataset> ReadIdx(const IdxSource& source, const ReadLimits& limits) {
  Dataset dataset;
  ASSIGN_OR_RETURN(Tensor images, ReadArray(source.images, /*as_labels=*/false, limits));
  const int64_t count = images.shape()[0];
  dataset.inputs.push_back({source.input, std::move(images), "images of " + source.images});
  if (source.labels.empty()) return dataset;
  ASSIGN_OR_RETURN(Tensor labels, ReadArray(source.labels, /*as_labels=*/true, limits));
  if (labels.shape().rank() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(source.labels, ": labels have shape ",
                                                   labels.shape().ToString(),
                                                   "; one number per image is needed"));
  }
  if (labels.shape()[0] != count) {
    return absl::InvalidArgumentError(absl::StrCat(source.labels, " has ", labels.shape()[0],
                                                   " labels, but ", source.images, " has ", count,
                                                   " images"));
  }
  dataset.labels = {"labels", std::move(labels), "labels of " + source.labels};
  return dataset;
}

}  // namespace topiary
