#include "worker/model/onnx_tensor.h"

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"
#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {
namespace {

#if defined(__BYTE_ORDER__)
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ONNX's raw data are little-endian");
#endif

absl::Status CheckType(DType dtype, int64_t count) {
  const bool half = dtype == DType::kFloat16 || dtype == DType::kBFloat16;
  if (!half && !(dtype == DType::kFloat64 && count > 1)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("it is ", DTypeName(dtype),
                                               "; weights must be float32: convert the model "
                                               "before its export (in PyTorch: model.float())"));
}

absl::Status CheckCount(size_t found, int64_t wanted, const Shape& shape) {
  if (found == static_cast<size_t>(wanted)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("shape ", shape.ToString(), " has ", wanted,
                                                 " elements, but ", found, " are given"));
}

absl::Status CheckBytes(size_t found, size_t wanted, const Shape& shape) {
  if (found == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("shape ", shape.ToString(), " needs ", wanted,
                                                 " bytes, but ", found, " are given"));
}

struct ExternalRange {
  std::string location;
  int64_t offset = 0;
  int64_t length = -1;  // -1: not stated.
};

absl::StatusOr<ExternalRange> ReadRange(const TensorSource& source) {
  ExternalRange range;
  for (const auto& [key, value] : source.external_entries) {
    if (key == "location") {
      range.location = value;
    } else if (key == "offset" || key == "length") {
      int64_t number;
      if (!absl::SimpleAtoi(value, &number) || number < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("the ", key, " of its external data is no number of bytes"));
      }
      (key == "offset" ? range.offset : range.length) = number;
    }  // "checksum" and "basepath" say nothing that we need.
  }
  return range;
}

absl::StatusOr<Tensor> DecodeExternal(const TensorSource& source, DType dtype, const Shape& shape,
                                      int64_t bytes, ExternalData& external) {
  if (source.has_raw) return absl::InvalidArgumentError("it has both raw and external data");
  ASSIGN_OR_RETURN(const ExternalRange range, ReadRange(source));
  if (range.length >= 0) RETURN_IF_ERROR(CheckBytes(range.length, bytes, shape));
  RETURN_IF_ERROR(external.Check(range.location, range.offset, bytes));
  Tensor tensor(dtype, shape);
  RETURN_IF_ERROR(external.Read(range.location, range.offset,
                                absl::MakeSpan(static_cast<char*>(tensor.raw_data()), bytes)));
  return tensor;
}

// int32_data holds the narrow types, one element per entry.
template <typename T>
absl::Status CopyNarrow(absl::Span<const int32_t> from, Tensor& to) {
  T* out = to.data<T>();
  for (int32_t v : from) {
    const T narrow = static_cast<T>(v);
    if (static_cast<int32_t>(narrow) != v) {
      return absl::InvalidArgumentError(
          absl::StrCat("the element ", v, " is no ", DTypeName(to.dtype())));
    }
    *out++ = narrow;
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> DecodeTyped(const TensorSource& source, DType dtype, const Shape& shape,
                                   int64_t count) {
  const auto copy = [&](const auto& from) -> absl::StatusOr<Tensor> {
    RETURN_IF_ERROR(CheckCount(from.size(), count, shape));
    Tensor tensor(dtype, shape);
    if (count > 0) std::memcpy(tensor.raw_data(), from.data(), tensor.byte_size());
    return tensor;
  };
  switch (dtype) {
    case DType::kFloat32:
      return copy(source.floats);
    case DType::kFloat64:
      return copy(source.doubles);
    case DType::kInt64:
      return copy(source.int64s);
    case DType::kInt32:
      return copy(source.int32s);
    default:
      break;
  }
  RETURN_IF_ERROR(CheckCount(source.int32s.size(), count, shape));
  Tensor tensor(dtype, shape);
  RETURN_IF_ERROR(dtype == DType::kUint8  ? CopyNarrow<uint8_t>(source.int32s, tensor)
                  : dtype == DType::kInt8 ? CopyNarrow<int8_t>(source.int32s, tensor)
                                          : CopyNarrow<bool>(source.int32s, tensor));
  return tensor;
}

// A byte other than 0 and 1 is no bool in C++.
absl::Status CheckBools(const Tensor& tensor) {
  if (tensor.dtype() != DType::kBool) return absl::OkStatus();
  const auto* bytes = static_cast<const unsigned char*>(tensor.raw_data());
  for (int64_t i = 0; i < tensor.element_count(); ++i) {
    if (bytes[i] > 1) return absl::InvalidArgumentError("an element is no bool");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TensorBudget::Take(int64_t count) {
  if (count > bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the model's weights take more memory than allowed: this one ", count, " bytes, where ",
        bytes, " are left; use a worker with more memory (spec.placement.memory_bytes)"));
  }
  bytes -= count;
  return absl::OkStatus();
}

absl::StatusOr<Tensor> DecodeTensor(const TensorSource& source, ExternalData& external,
                                    TensorBudget& budget) {
  ASSIGN_OR_RETURN(const DType dtype, DTypeFromOnnx(source.data_type));
  if (source.segmented) return absl::UnimplementedError("it is stored in segments");
  if (static_cast<int64_t>(source.dims.size()) > budget.max_rank) {
    return absl::ResourceExhaustedError(absl::StrCat("its rank is ", source.dims.size(),
                                                     "; at most ", budget.max_rank, " is allowed"));
  }
  const Shape shape(source.dims);
  ASSIGN_OR_RETURN(const int64_t count, shape.CheckedElementCount(int64_t{1} << 56));
  RETURN_IF_ERROR(CheckType(dtype, count));
  const int64_t bytes = count * static_cast<int64_t>(SizeOf(dtype));
  RETURN_IF_ERROR(budget.Take(bytes));
  absl::StatusOr<Tensor> tensor = absl::InternalError("unset");
  if (source.external) {
    tensor = DecodeExternal(source, dtype, shape, bytes, external);
  } else if (source.has_raw) {
    RETURN_IF_ERROR(CheckBytes(source.raw.size(), bytes, shape));
    tensor = Tensor(dtype, shape);
    std::memcpy(tensor->raw_data(), source.raw.data(), bytes);
  } else {
    tensor = DecodeTyped(source, dtype, shape, count);
  }
  if (tensor.ok()) RETURN_IF_ERROR(CheckBools(*tensor));
  return tensor;
}

}  // namespace topiary
