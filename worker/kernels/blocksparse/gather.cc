#include "worker/kernels/blocksparse/gather.h"

#include <algorithm>

namespace topiary {
namespace {

// Calls body(r, image, h, w, run) for the runs of rows [first, first + count) that lie side by
// side: the first of them, counted from `first`, is that of pixel (h, w) of an image.
template <typename Body>
void ForEachRun(const GatherShape& shape, int64_t first, int64_t count, Body body) {
  const int64_t height = shape.height.rows, width = shape.width.rows;
  for (int64_t r = 0; r < count;) {
    const int64_t line = (first + r) / width, w = (first + r) % width;
    const int64_t run = std::min(count - r, width - w);
    body(r, line / height, line % height, w, run);
    r += run;
  }
}

}  // namespace

void FillGatherTable(const GatherShape& shape, const float* x, const float* zeros, int64_t first,
                     int64_t count, int64_t stride, const float** table) {
  const GatherAxis& height = shape.height;
  const GatherAxis& width = shape.width;
  ForEachRun(shape, first, count, [&](int64_t r, int64_t image, int64_t h, int64_t w, int64_t run) {
    const float** to = table + r;
    for (const int64_t h_offset : height.offsets) {
      const int64_t source_line = h * height.step + h_offset;
      const bool inside = source_line >= 0 && source_line < height.source;
      const int64_t line = (image * height.source + (inside ? source_line : 0)) * width.source;
      for (const int64_t w_offset : width.offsets) {
        for (int64_t i = 0, pixel = w * width.step + w_offset; i < run; ++i, pixel += width.step) {
          const bool seen = inside && pixel >= 0 && pixel < width.source;
          to[i] = seen ? x + (line + pixel) * shape.inputs : zeros;
        }
        to += stride;
      }
    }
  });
}

void FillTargetTable(const GatherShape& shape, float* y, int64_t first, int64_t count,
                     float** table) {
  const GatherAxis& height = shape.height;
  const GatherAxis& width = shape.width;
  ForEachRun(shape, first, count, [&](int64_t r, int64_t image, int64_t h, int64_t w, int64_t run) {
    const int64_t line = image * height.target + h * height.target_step + height.target_offset;
    for (int64_t i = 0; i < run; ++i) {
      const int64_t pixel = (w + i) * width.target_step + width.target_offset;
      table[r + i] = y + (line * width.target + pixel) * shape.outputs;
    }
  });
}

}  // namespace topiary
