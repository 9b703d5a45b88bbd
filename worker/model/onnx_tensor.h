#ifndef TOPIARY_WORKER_MODEL_ONNX_TENSOR_H_
#define TOPIARY_WORKER_MODEL_ONNX_TENSOR_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/model/external_data.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// What a TensorProto says, as plain views into it: nothing is checked yet.
struct TensorSource {
  int64_t data_type = 0;  // onnx.TensorProto.DataType.
  absl::Span<const int64_t> dims;
  bool segmented = false;
  // Elements lie in exactly one of these, unless there are none.
  bool has_raw = false;
  absl::string_view raw;
  absl::Span<const float> floats;
  absl::Span<const double> doubles;
  absl::Span<const int32_t> int32s;  // Also uint8, int8, bool, float16 and bfloat16.
  absl::Span<const int64_t> int64s;
  bool external = false;
  std::vector<std::pair<std::string, std::string>> external_entries;  // location, offset, length
};

// Bytes that tensors may still take; shared by all tensors of a model.
struct TensorBudget {
  int64_t bytes;
  int64_t max_rank;

  // RESOURCE_EXHAUSTED if `count` does not fit in what is left; else takes it.
  absl::Status Take(int64_t count);
};

// Makes a tensor of `source`; reads external elements through `external`. Memory is allocated only
// after the elements were found to be as many as the shape says. Messages do not name the tensor:
// the caller does.
// INVALID_ARGUMENT: elements, shape and type do not agree. UNIMPLEMENTED: a type other than
// float32, int64, int32, int8, uint8 and bool, or float64 with more than one element.
absl::StatusOr<Tensor> DecodeTensor(const TensorSource& source, ExternalData& external,
                                    TensorBudget& budget);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_ONNX_TENSOR_H_
