#include "worker/pipeline/batch_feed.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

void Copy(const Tensor& from, const StagedTensor& to) {
  CHECK_LE(from.byte_size(), to.bytes()) << "batch does not fit '" << to.name << "'";
  std::memcpy(to.data, from.raw_data(), from.byte_size());
}

}  // namespace

void FeedInputs(const Batch& batch, absl::Span<const StagedTensor> inputs) {
  CHECK_EQ(batch.inputs.size(), inputs.size());
  for (size_t i = 0; i < batch.inputs.size(); ++i) Copy(batch.inputs[i], inputs[i]);
}

void FeedBatch(const Batch& batch, const Program& program) {
  FeedInputs(batch, program.inputs());
  const StagedTensor& labels = program.labels();
  if (labels.dtype == DType::kFloat32) {
    Copy(batch.labels, labels);
    return;
  }
  const absl::Span<const int64_t> classes = batch.labels.span<int64_t>();
  CHECK_LE(static_cast<int64_t>(classes.size()), labels.shape.element_count());
  std::transform(classes.begin(), classes.end(), static_cast<int32_t*>(labels.data),
                 [](int64_t value) { return static_cast<int32_t>(value); });
}

absl::Status CheckOutputPerExample(const Graph& graph, const Program& program) {
  ASSIGN_OR_RETURN(const auto input_shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph single, InferShapes(graph, input_shapes));
  const StagedTensor& output = program.output(0);
  const Shape& one = single.values.at(output.name).shape;
  if (one.rank() >= 1 && one[0] == 1 && output.shape == one.WithDim(0, program.batch())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("output '", output.name, "' has shape ", one.ToString(), " for one example and ",
                   output.shape.ToString(), " for ", program.batch(),
                   "; its first axis, and no other, must be the batch"));
}

}  // namespace topiary
