#include "worker/pipeline/batch_feed.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"

namespace topiary {
namespace {

void Copy(const Tensor& from, const StagedTensor& to) {
  CHECK_LE(from.byte_size(), to.bytes()) << "batch does not fit '" << to.name << "'";
  std::memcpy(to.data, from.raw_data(), from.byte_size());
}

}  // namespace

void FeedBatch(const Batch& batch, const Program& program) {
  CHECK_EQ(batch.inputs.size(), program.inputs().size());
  for (size_t i = 0; i < batch.inputs.size(); ++i) Copy(batch.inputs[i], program.inputs()[i]);
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

}  // namespace topiary
