#include "worker/kernels/embedding_rows.h"

#include <algorithm>

namespace topiary {

void MissedUpdates::Add(float learning_rate) {
  const double factor = nesterov_ ? momentum_ : 1;
  learning_rates_.push_back(learning_rate);
  decay_.push_back(1);
  displacement_.push_back(0);
  for (size_t i = 0; i < decay_.size(); ++i) {
    decay_[i] *= momentum_;
    displacement_[i] += double{learning_rate} * decay_[i] * factor;
  }
}

void MissedUpdates::Clear() {
  learning_rates_.clear();
  decay_.clear();
  displacement_.clear();
}

void EmbeddingRows::Touch(const int64_t* indices, int64_t count) {
  for (const int32_t row : touched) place_of_row[row] = -1;
  touched.clear();
  place_of_index.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = RowOf(indices[i]);
    if (row >= 0 && place_of_row[row] < 0) {
      place_of_row[row] = static_cast<int32_t>(touched.size());
      touched.push_back(static_cast<int32_t>(row));
    }
    place_of_index[i] = row < 0 ? -1 : place_of_row[row];
  }
  gradient.resize(touched.size() * static_cast<size_t>(width));
}

void EmbeddingRows::Prefetch(int64_t row) const {
  constexpr int64_t kLineFloats = 16;
  const int64_t floats = std::min<int64_t>(width, 4 * kLineFloats);
  for (int64_t i = 0; i < floats; i += kLineFloats) {
    __builtin_prefetch(value + row * width + i, /*rw=*/1);
    if (momentum != nullptr) __builtin_prefetch(momentum + row * width + i, /*rw=*/1);
  }
  if (missed != nullptr) __builtin_prefetch(applied.data() + row, /*rw=*/1);
}

void EmbeddingRows::CatchUp(int64_t row) {
  if (missed == nullptr || applied[row] == missed->count()) return;
  const float decay = missed->Decay(applied[row]);
  const float displacement = missed->Displacement(applied[row]);
  float* v = value + row * width;
  float* m = momentum + row * width;
  for (int64_t i = 0; i < width; ++i) {
    v[i] -= displacement * m[i];
    m[i] *= decay;
  }
  applied[row] = static_cast<int32_t>(missed->count());
}

}  // namespace topiary
