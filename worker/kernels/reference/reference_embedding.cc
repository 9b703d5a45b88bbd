#include <algorithm>

#include "worker/kernels/embedding_rows.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {

void EmbeddingForward(const OpDescription& op, Buffers buffers) {
  EmbeddingRows& table = *std::get<EmbeddingParameters>(op.parameters).table;
  const auto* indices = static_cast<const int64_t*>(buffers[0]);
  const int64_t count = op.operands[0].shape[0];
  table.Touch(indices, count);
  for (const int32_t row : table.touched) table.CatchUp(row);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = table.RowOf(indices[i]);
    for (int64_t j = 0; j < table.width; ++j) {
      F32(buffers, 1)[i * table.width + j] = row < 0 ? 0 : table.value[row * table.width + j];
    }
  }
}

void EmbeddingBackward(const OpDescription& op, Buffers buffers) {
  EmbeddingRows& table = *std::get<EmbeddingParameters>(op.parameters).table;
  std::fill(table.gradient.begin(), table.gradient.end(), 0.0F);
  for (int64_t i = 0; i < op.operands[1].shape[0]; ++i) {
    const int64_t place = table.place_of_index[i];
    if (place < 0) continue;
    for (int64_t j = 0; j < table.width; ++j) {
      table.gradient[place * table.width + j] += F32(buffers, 0)[i * table.width + j];
    }
  }
}

void EmbeddingUpdate(const OpDescription& op, Buffers) {
  const auto& parameters = std::get<EmbeddingParameters>(op.parameters);
  const OptimizerParameters& p = parameters.update;
  EmbeddingRows& table = *parameters.table;
  const double rate = double{p.scalars->learning_rate} * p.learning_rate_multiplier;
  for (size_t i = 0; i < table.touched.size(); ++i) {
    const int64_t row = table.touched[i];
    for (int64_t j = 0; j < table.width; ++j) {
      float& w = table.value[row * table.width + j];
      const double g = double{p.scalars->gradient_scale} * table.gradient[i * table.width + j];
      double step = g;
      if (table.momentum != nullptr) {
        float& m = table.momentum[row * table.width + j];
        m = static_cast<float>(double{p.momentum} * m + g);
        step = p.nesterov ? g + double{p.momentum} * m : double{m};
      }
      w = static_cast<float>(w - rate * step);
    }
    if (table.missed != nullptr) ++table.applied[row];
  }
}

}  // namespace reference
}  // namespace topiary
