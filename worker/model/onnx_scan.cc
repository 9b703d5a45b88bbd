#include "worker/model/onnx_scan.h"

#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Messages of onnx.proto that hold messages; all others hold only scalars and strings.
enum Kind {
  kModel,
  kTrainingInfo,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparseTensor,
  kAnnotation,
  kValueInfo,
  kType,
  kTypeOfTensor,
  kTypeOfElements,
  kTensorShape,
  kFunction,
  kFlat,
  kNotAMessage,
};

struct Child {
  Kind parent;
  uint64_t field;
  Kind kind;
};

constexpr Child kChildren[] = {
    {kModel, 7, kGraph},
    {kModel, 8, kFlat},
    {kModel, 14, kFlat},
    {kModel, 20, kTrainingInfo},
    {kModel, 25, kFunction},
    {kTrainingInfo, 1, kGraph},
    {kTrainingInfo, 2, kGraph},
    {kTrainingInfo, 3, kFlat},
    {kTrainingInfo, 4, kFlat},
    {kGraph, 1, kNode},
    {kGraph, 5, kTensor},
    {kGraph, 11, kValueInfo},
    {kGraph, 12, kValueInfo},
    {kGraph, 13, kValueInfo},
    {kGraph, 14, kAnnotation},
    {kGraph, 15, kSparseTensor},
    {kNode, 5, kAttribute},
    {kAttribute, 5, kTensor},
    {kAttribute, 6, kGraph},
    {kAttribute, 10, kTensor},
    {kAttribute, 11, kGraph},
    {kAttribute, 14, kType},
    {kAttribute, 15, kType},
    {kAttribute, 22, kSparseTensor},
    {kAttribute, 23, kSparseTensor},
    {kTensor, 3, kFlat},
    {kTensor, 13, kFlat},
    {kSparseTensor, 1, kTensor},
    {kSparseTensor, 2, kTensor},
    {kAnnotation, 2, kFlat},
    {kValueInfo, 2, kType},
    {kType, 1, kTypeOfTensor},
    {kType, 4, kTypeOfElements},
    {kType, 5, kTypeOfElements},
    {kType, 7, kFlat},
    {kType, 8, kTypeOfTensor},
    {kType, 9, kTypeOfElements},
    {kTypeOfTensor, 2, kTensorShape},
    {kTypeOfElements, 1, kType},
    {kTypeOfElements, 2, kType},
    {kTensorShape, 1, kFlat},
    {kFunction, 7, kNode},
    {kFunction, 9, kFlat},
    {kFunction, 11, kAttribute},
};

Kind ChildKind(Kind parent, uint64_t field) {
  for (const Child& child : kChildren) {
    if (child.parent == parent && child.field == field) return child.kind;
  }
  return kNotAMessage;
}

// raw_data, float_data and double_data take as much memory as they have bytes.
bool IsRawWeights(Kind kind, uint64_t field) {
  return kind == kTensor && (field == 9 || field == 4 || field == 10);
}

constexpr int kMaxDepth = 24;

class Scanner {
 public:
  Scanner(int64_t max_fields, int64_t max_structure_bytes)
      : max_fields_(max_fields), max_structure_bytes_(max_structure_bytes) {}

  absl::Status Scan(absl::string_view bytes, Kind kind, int depth) {
    if (depth > kMaxDepth) {
      return absl::InvalidArgumentError(
          absl::StrCat("messages are nested deeper than ", kMaxDepth, " levels"));
    }
    while (!bytes.empty()) {
      ASSIGN_OR_RETURN(const uint64_t tag, Varint(bytes));
      if (++result_.fields > max_fields_) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the model has more than ", max_fields_, " fields"));
      }
      RETURN_IF_ERROR(Field(tag, kind, depth, bytes));
    }
    return absl::OkStatus();
  }

  const OnnxScan& result() const { return result_; }

 private:
  absl::Status Field(uint64_t tag, Kind kind, int depth, absl::string_view& bytes) {
    const uint64_t field = tag >> 3;
    switch (tag & 7) {
      case 0:
        return Varint(bytes).status();
      case 1:
        return Skip(8, bytes);
      case 5:
        return Skip(4, bytes);
      case 2:
        break;
      default:
        return absl::InvalidArgumentError("the bytes are not an ONNX model");
    }
    ASSIGN_OR_RETURN(const uint64_t length, Varint(bytes));
    if (field == 0 || length > bytes.size()) {
      return absl::InvalidArgumentError("the bytes are not an ONNX model, or one cut short");
    }
    const absl::string_view body = bytes.substr(0, length);
    bytes.remove_prefix(length);
    const Kind child = ChildKind(kind, field);
    if (child != kNotAMessage) return Scan(body, child, depth + 1);
    return IsRawWeights(kind, field) ? absl::OkStatus() : Count(length);
  }

  absl::StatusOr<uint64_t> Varint(absl::string_view& bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[0]);
      bytes.remove_prefix(1);
      RETURN_IF_ERROR(Count(1));
      if (shift < 64) value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    return absl::InvalidArgumentError("the bytes are not an ONNX model, or one cut short");
  }

  absl::Status Skip(uint64_t count, absl::string_view& bytes) {
    if (count > bytes.size()) {
      return absl::InvalidArgumentError("the bytes are an ONNX model cut short");
    }
    bytes.remove_prefix(count);
    return Count(count);
  }

  absl::Status Count(uint64_t bytes) {
    result_.structure_bytes += static_cast<int64_t>(bytes);
    if (result_.structure_bytes <= max_structure_bytes_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("the model has more than ", max_structure_bytes_,
                     " bytes besides raw weights; store weights as raw data"));
  }

  const int64_t max_fields_;
  const int64_t max_structure_bytes_;
  OnnxScan result_;
};

}  // namespace

absl::StatusOr<OnnxScan> ScanOnnx(absl::string_view bytes, int64_t max_fields,
                                  int64_t max_structure_bytes) {
  Scanner scanner(max_fields, max_structure_bytes);
  RETURN_IF_ERROR(scanner.Scan(bytes, kModel, 0));
  return scanner.result();
}

}  // namespace topiary
