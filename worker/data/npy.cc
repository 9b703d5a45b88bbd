#include "worker/data/npy.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

using Element = NpyArray::Element;

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMagicBytes = 6;
constexpr size_t kMaxHeaderBytes = size_t{1} << 16;
constexpr size_t kMaxRank = 16;

struct ElementName {
  absl::string_view name;  // Without byte order.
  Element element;
  int64_t bytes;
};
constexpr ElementName kElements[] = {
    {"f4", Element::kF4, 4},   {"f8", Element::kF8, 8}, {"u1", Element::kU1, 1},
    {"u2", Element::kU2, 2},   {"u4", Element::kU4, 4}, {"i1", Element::kI1, 1},
    {"i2", Element::kI2, 2},   {"i4", Element::kI4, 4}, {"i8", Element::kI8, 8},
    {"b1", Element::kBool, 1},
};

int64_t ElementBytes(Element element) {
  for (const ElementName& e : kElements) {
    if (e.element == element) return e.bytes;
  }
  return 0;
}

absl::Status BadHeader() {
  return absl::InvalidArgumentError("the .npy header is not the dictionary it should be");
}

// Reads the Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }: its
// three keys in any order, and nothing else of Python.
class HeaderParser {
 public:
  explicit HeaderParser(absl::string_view text) : text_(text) {}

  absl::Status Parse(NpyArray& array) {
    if (!Eat('{')) return BadHeader();
    while (!Eat('}')) {
      ASSIGN_OR_RETURN(const absl::string_view key, String());
      if (!Eat(':')) return BadHeader();
      if (key == "descr" && !descr_) {
        RETURN_IF_ERROR(ReadDescr(array));
      } else if (key == "fortran_order" && !order_) {
        RETURN_IF_ERROR(ReadOrder(array));
      } else if (key == "shape" && !shape_) {
        RETURN_IF_ERROR(ReadShape(array));
      } else {
        return BadHeader();
      }
      if (!Eat(',') && Peek() != '}') return BadHeader();
    }
    return descr_ && order_ && shape_ && Peek() == '\0' ? absl::OkStatus() : BadHeader();
  }

 private:
  char Peek() {
    text_ = absl::StripLeadingAsciiWhitespace(text_);
    return text_.empty() ? '\0' : text_[0];
  }
  bool Eat(char c) {
    if (Peek() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool EatWord(absl::string_view word) {
    Peek();
    if (text_.substr(0, word.size()) != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }

  absl::StatusOr<absl::string_view> String() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return BadHeader();
    const size_t end = text_.find(quote, 1);
    if (end == absl::string_view::npos) return BadHeader();
    const absl::string_view value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value;
  }

  absl::Status ReadDescr(NpyArray& array) {
    descr_ = true;
    if (Peek() == '[') {
      return absl::UnimplementedError("structured arrays are not supported; save plain ones");
    }
    ASSIGN_OR_RETURN(const absl::string_view descr, String());
    const bool little = !descr.empty() && absl::StrContains("<|=", descr.substr(0, 1));
    for (const ElementName& e : kElements) {
      if (little && e.name == descr.substr(1)) {
        array.element = e.element;
        return absl::OkStatus();
      }
    }
    return absl::UnimplementedError(
        absl::StrCat("elements of type '", descr.substr(0, 32),
                     "' are not supported; supported are little-endian f4, f8, u1, u2, u4, i1, i2, "
                     "i4, i8 and bool (convert with .astype)"));
  }

  absl::Status ReadOrder(NpyArray& array) {
    order_ = true;
    array.fortran_order = EatWord("True");
    return array.fortran_order || EatWord("False") ? absl::OkStatus() : BadHeader();
  }

  absl::Status ReadShape(NpyArray& array) {
    shape_ = true;
    if (!Eat('(')) return BadHeader();
    std::vector<int64_t> dims;
    while (!Eat(')')) {
      Peek();
      size_t digits = 0;
      while (digits < text_.size() && absl::ascii_isdigit(text_[digits])) ++digits;
      int64_t extent;
      if (dims.size() == kMaxRank || !absl::SimpleAtoi(text_.substr(0, digits), &extent)) {
        return BadHeader();
      }
      text_.remove_prefix(digits);
      EatWord("L");  // Python 2 wrote long integers so.
      dims.push_back(extent);
      if (!Eat(',') && Peek() != ')') return BadHeader();
    }
    array.shape = Shape(absl::MakeConstSpan(dims));
    return absl::OkStatus();
  }

  absl::string_view text_;
  bool descr_ = false;
  bool order_ = false;
  bool shape_ = false;
};

template <typename From, typename To>
void Copy(const NpyArray& array, To* to) {
  const auto load = [&array](int64_t i) {
    From value;
    std::memcpy(&value, array.data.data() + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    return static_cast<To>(value);
  };
  const Shape& shape = array.shape;
  const int64_t count = shape.element_count();
  if (!array.fortran_order || shape.rank() < 2) {
    for (int64_t i = 0; i < count; ++i) to[i] = load(i);
    return;
  }
  Shape::Dims strides(shape.rank(), 1);
  for (int i = 1; i < shape.rank(); ++i) strides[i] = strides[i - 1] * shape[i - 1];
  std::vector<int64_t> index(shape.rank(), 0);
  int64_t from = 0;
  for (int64_t i = 0; i < count; ++i) {
    to[i] = load(from);
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

template <typename To>
void CopyAs(const NpyArray& array, To* to) {
  switch (array.element) {
    case Element::kF4:
      return Copy<float>(array, to);
    case Element::kF8:
      return Copy<double>(array, to);
    case Element::kU1:
    case Element::kBool:
      return Copy<uint8_t>(array, to);
    case Element::kU2:
      return Copy<uint16_t>(array, to);
    case Element::kU4:
      return Copy<uint32_t>(array, to);
    case Element::kI1:
      return Copy<int8_t>(array, to);
    case Element::kI2:
      return Copy<int16_t>(array, to);
    case Element::kI4:
      return Copy<int32_t>(array, to);
    case Element::kI8:
      return Copy<int64_t>(array, to);
  }
}

}  // namespace

absl::StatusOr<NpyArray> ParseNpy(absl::string_view bytes) {
  if (bytes.size() < kMagicBytes + 4 || bytes.substr(0, kMagicBytes) != kMagic) {
    return absl::InvalidArgumentError("it is no .npy array, or one cut short");
  }
  const auto at = [&bytes](size_t i) { return size_t{static_cast<unsigned char>(bytes[i])}; };
  const size_t version = at(kMagicBytes);
  if (version < 1 || version > 3) {
    return absl::UnimplementedError(
        absl::StrCat("version ", version, " of the .npy format is not supported"));
  }
  const size_t start = kMagicBytes + (version == 1 ? 4 : 6);
  if (bytes.size() < start) return absl::InvalidArgumentError("the .npy header is cut short");
  size_t length = at(8) | at(9) << 8;
  if (version > 1) length |= at(10) << 16 | at(11) << 24;
  if (length > kMaxHeaderBytes || length > bytes.size() - start) {
    return absl::InvalidArgumentError("the .npy header is cut short or too long");
  }
  NpyArray array;
  RETURN_IF_ERROR(HeaderParser(bytes.substr(start, length)).Parse(array));
  array.data = bytes.substr(start + length);
  const int64_t size = ElementBytes(array.element);
  const absl::StatusOr<int64_t> count = array.shape.CheckedElementCount(INT64_MAX / 16);
  if (!count.ok() || static_cast<int64_t>(array.data.size()) != *count * size) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape ", array.shape.ToString(), " with elements of ", size,
                     " bytes does not match the ", array.data.size(), " bytes of data"));
  }
  return array;
}

int64_t TensorBytes(const NpyArray& array, DType dtype) {
  return array.shape.element_count() * static_cast<int64_t>(SizeOf(dtype));
}

Tensor ToTensor(const NpyArray& array, DType dtype) {
  Tensor tensor(dtype, array.shape);
  if (dtype == DType::kFloat32) {
    CopyAs(array, tensor.data<float>());
  } else {
    CHECK(dtype == DType::kInt64 && !array.is_float()) << DTypeName(dtype);
    CopyAs(array, tensor.data<int64_t>());
  }
  return tensor;
}

}  // namespace topiary
